"""Nothing that a label, a version or an answer says is ever run. Real Ansible, no host: templates open before ssh."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.ansible import inventory as inventory_module
from activities.ansible.claims import ClaimServer, No, Start
from activities.ansible.job import Job, JobHost, Probe
from activities.ansible.workspace import Workspace
from tests.activities.ansible.support import KEY, a_host, a_job, patch, yes


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A template without a blank, so that it fits where a URL fits, and the file that it would make."""
    made = tmp_path / "made"
    yield f"{{{{lookup('pipe','touch${{IFS}}{made}')}}}}", made


async def test_a_template_that_fits_the_models_is_data(trap: tuple[str, Path], tmp_path: Path) -> None:
    template, made = trap
    host = a_host(
        address="127.0.0.1",
        port=1,
        credential=f"file:{tmp_path}/{template}",
        probe=Probe(port=80, path=f"/{template}"),
    )
    outcome = (await patch([host])).only
    assert outcome.state == "UNREACHABLE", outcome.message
    assert not made.exists()


async def test_a_template_in_the_workers_answer_is_data(trap: tuple[str, Path]) -> None:
    template, made = trap

    async def no(_host: str) -> No:
        return No(reason=template)

    outcome = (await patch([a_host(address="127.0.0.1", port=1)], no)).only
    assert (outcome.state, outcome.message) == ("NOT_CLAIMED", template)
    assert not made.exists()


def unchecked_job(tmp_path: Path, template: str) -> Job:
    """As if every check of the models had been forgotten."""
    values = a_host(address="127.0.0.1", port=1, host_key=KEY).model_dump()
    host = JobHost.model_construct(**(values | {"version": template, "package": template, "service": template}))
    directory = tmp_path / "batch"
    directory.mkdir(mode=0o700)
    sound = a_job([a_host()], directory=str(directory), claim_socket=str(tmp_path / "claims"))
    return sound.model_copy(update={"hosts": (host,)})


async def play(job: Job) -> None:
    workspace = Workspace(job)
    workspace.write()

    async def start(host: str) -> Start:
        return await yes(host)

    async with ClaimServer(job.claim_socket, start):
        await asyncio.to_thread(
            subprocess.run,
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                "-i",
                f"{job.directory}/inventory/hosts.json",
                f"{job.directory}/project/play.yml",
            ],
            env=workspace.environment(),
            check=False,
            capture_output=True,
        )


async def test_a_template_is_data_even_where_the_models_failed(trap: tuple[str, Path], tmp_path: Path) -> None:
    template, made = trap
    await play(unchecked_job(tmp_path, template))
    assert not os.path.exists(made)  # noqa: PTH110


async def test_this_trap_would_have_sprung(
    trap: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests above mean nothing unless the same template, trusted, does run."""
    template, made = trap
    monkeypatch.setattr(inventory_module, "unsafe", lambda value: value)
    await play(unchecked_job(tmp_path, template))
    assert os.path.exists(made)  # noqa: PTH110
