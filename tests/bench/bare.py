"""The user's alternative: one `ansible-playbook` with `serial`, over the same hosts with the same module."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from activities.ansible.job import Job, JobHost, Probe
from activities.ansible.playbook import playbook
from activities.ansible.workspace import Workspace
from tests.support.rig import Rig


def bare_playbook(rig: Rig, version: str, wave: int, number: int) -> None:
    """Runs it to its end. Raises CalledProcessError where a host failed."""
    folder = rig.place.data / "bare"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    with rig.sql() as sql:
        fence = sql.execute("select nextval('fences')").fetchone()
    assert fence is not None
    hosts = tuple(
        JobHost(
            name=asset["name"], address=asset["address"], host_key=asset["host_key"], credential=asset["credential"],
            package="acme-healthd", version=version, service="acme-healthd", probe=Probe(port=8080, path="/health"),
        )
        for asset in rig.fleet.assets()["assets"]
    )  # fmt: skip
    job = Job(
        batch="bare", deployment=1_000_000 + fence[0], attempt=1, directory=str(folder), claim_socket="/none", forks=10,
        hosts=hosts,
    )  # fmt: skip
    workspace = Workspace(job)
    workspace.write()
    play = playbook(job)[0]
    patch = play["tasks"][1]
    patch["vulnzero_patch"]["fence"] = fence[0]
    del patch["when"]
    play |= {"serial": wave, "strategy": "linear", "tasks": [patch]}
    (folder / "play.yml").write_text(json.dumps([play]))
    ansible = Path(sys.executable).with_name("ansible-playbook")
    environment = workspace.environment() | {"PATH": os.environ["PATH"]}
    subprocess.run(
        [str(ansible), "-i", str(folder / "inventory/hosts.json"), str(folder / "play.yml")],
        env=environment, check=True, stdout=subprocess.DEVNULL, cwd=folder,
    )  # fmt: skip
