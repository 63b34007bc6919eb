"""`make demo`: a stack and a fleet of its own, one rolling deployment before your eyes, each host asked afterwards."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import click

from activities.database.migrate import upgrade
from starter.cli.dev import worker_processes
from starter.cli.exits import NeededMissing, run
from starter.cli.options import Session
from starter.cli.output import Output
from starter.cli.watch import follow
from starter.client import Deployment, DeploymentClient
from starter.connection import checkout
from starter.dev import config as configuration
from starter.dev.errors import StackError
from starter.dev.number import Place, allot
from starter.dev.stack import Stack
from starter.lab.errors import LabError
from starter.lab.fleet import Fleet
from workflows.contracts import Rolling
from workflows.contracts.inventory import AssetSpec, PatchSpec

HOSTS = 6
STRATEGY = Rolling(batch_size="2 hosts", wait_seconds=5)
WORKERS_READY_SECONDS = 60.0

Say = Callable[[str], None]


@click.command("demo")
def demo() -> int:
    """Exit 0 only if every host really runs the fixed version."""
    if os.geteuid() != 0:
        raise click.UsageError("the practice fleet needs root: sudo make demo")
    say = _clock()
    place = Place.of(allot(f"{checkout()}#demo"))
    stack = Stack(configuration.load(configuration.find(None)), place, env=_bare_environment())
    fleet = Fleet(place.number, place.data)
    try:
        with _everything(stack, fleet, say):
            code = _deploy(stack, fleet, say)
            return _verify(fleet, say) or code
    except (StackError, LabError) as error:
        raise NeededMissing(str(error)) from error


def _clock() -> Say:
    started = time.monotonic()

    def say(line: str) -> None:
        click.echo(f"{time.monotonic() - started:5.0f} s  {line}")

    return say


def _bare_environment() -> dict[str, str]:
    """The demo patches its own fleet in its own database, whatever DATABASE_URL the shell has for real work."""
    return {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}


@contextmanager
def _everything(stack: Stack, fleet: Fleet, say: Say) -> Iterator[None]:
    """Servers, workers and hosts; all of it is stopped again, however the demo ends."""
    with ExitStack() as cleanup:
        cleanup.callback(say, "everything that was started is stopped again; the base image stays for the next time")
        cleanup.callback(fleet.down)
        cleanup.callback(stack.stop)
        with ThreadPoolExecutor(1) as pool:
            # The fleet first, in a thread: the very first time it makes the base image, half a minute's work.
            up = pool.submit(fleet.up, HOSTS, say)
            stack.start(say, migrate=upgrade)
            for extra in worker_processes(stack.config):
                child = stack.spawn(extra)
                cleanup.callback(child.stop)
            up.result()
        yield


def _deploy(stack: Stack, fleet: Fleet, say: Say) -> int:
    where = Session(Output.choose("text", False), stack.database_url, stack.temporal_address, stack.namespace)
    deployment = asyncio.run(_start(where, fleet, say))
    say(f"see it in Temporal's Web UI: {stack.ui_url}/namespaces/{stack.namespace}/workflows/{deployment.workflow_id}")
    return follow(where, deployment.id)


async def _start(where: Session, fleet: Fleet, say: Say) -> Deployment:
    async with await where.client() as client:
        await client.ledger.import_assets([AssetSpec.model_validate(one) for one in fleet.assets()["assets"]])
        patches = [PatchSpec.model_validate(one) for one in fleet.patches()["patches"]]
        await client.ledger.import_patches(patches)
        await _workers_ready(client)
        patch = await client.ledger.patch(patches[0].name)
        how = f"{STRATEGY.batch_size} a wave, {STRATEGY.wait_seconds:.0f} s between"
        say(f"deploying {patch.name} to {HOSTS} hosts, {how}")
        names = [one["name"] for one in fleet.assets()["assets"]]
        ids = [asset.id for asset in await client.ledger.assets() if asset.name in names]
        return await client.deploy(patch.id, asset_ids=ids, strategy=STRATEGY, reason="make demo")


async def _workers_ready(client: DeploymentClient) -> None:
    deadline = time.monotonic() + WORKERS_READY_SECONDS
    while missing := await client.without_worker():
        if time.monotonic() > deadline:
            raise NeededMissing(f"no worker polls {', '.join(missing)}: see its log in the data folder")
        await asyncio.sleep(0.2)


def _verify(fleet: Fleet, say: Say) -> int:
    """Asks each host itself; the exit code is 0 only where all run the fixed version and say that they are well."""
    say("asking each host itself, past everything above:")
    script = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080/health', timeout=5).read().decode())"
    wrong = 0
    for host in fleet.hosts():
        index = host.plan.index
        version = fleet.run(index, ["dpkg-query", "-W", "-f=${Version}", "acme-healthd"], check=False).stdout
        text = fleet.run(index, ["python3", "-c", script], check=False).stdout.strip()
        health = json.loads(text) if text else {"status": "no answer"}
        good = (version, health.get("version"), health["status"]) == ("1.0.1", "1.0.1", "ok")
        wrong += not good
        mark = "ok" if good else "WRONG"
        click.echo(f"         {host.name:<12} dpkg-query {version:<8} /health {json.dumps(health):<42} {mark}")
    if wrong:
        say(f"{wrong} of {HOSTS} hosts do not run the fixed version")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(run(demo, sys.argv[1:]))
