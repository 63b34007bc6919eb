"""`vulnzero lab`: a practice fleet on this machine."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from starter.cli.exits import NeededMissing, wait_for
from starter.cli.main import Entry, LazyGroup
from starter.cli.options import Session, asks_ledger, example, speaks

if TYPE_CHECKING:
    from starter.lab.fleet import Fleet

lab = LazyGroup(
    "lab",
    {
        "up": Entry("lab:up", "bring hosts up, and import them"),
        "status": Entry("lab:status", "what each host is and runs"),
        "down": Entry("lab:down", "remove the fleet"),
    },
    help="A practice fleet: real Debian hosts on this machine. Needs root.\n\n" + example("vulnzero lab up --hosts 6"),
)


@click.command("up", epilog=example("vulnzero lab up --hosts 6"))
@click.option("--hosts", default=6, show_default=True, type=click.IntRange(1, 200), help="how many must run")
@asks_ledger
def up(hosts: int, session: Session) -> None:
    """Make hosts h1 to hN answer, and import them and the two practice patches into the inventory."""
    fleet = _fleet()
    with _lab_errors():
        fleet.up(hosts, session.out.note)
        assets, patches = fleet.assets(), fleet.patches()
    imported = wait_for(_import(session, assets, patches))
    if session.out.is_json:
        return session.out.json({"hosts": hosts, "imported": imported is None, "files": imported or []})
    if imported is None:
        session.out.line(f"{len(assets['assets'])} assets and {len(patches['patches'])} patches are in the inventory")
        session.out.line(f"try: vulnzero deploy {patches['patches'][0]['name']} --to env=lab --watch")
    else:
        session.out.line("no database is there to import into; once there is one:")
        for kind, path in zip(("asset", "patch"), imported, strict=True):
            session.out.line(f"  vulnzero {kind} import {path}")
    return None


@click.command("status", epilog=example("vulnzero lab status -o json"))
@speaks
def status(session: Session) -> None:
    """Show what each host is and runs."""
    from dataclasses import asdict

    fleet = _fleet()
    with _lab_errors():
        found = fleet.status()
    if session.out.is_json:
        return session.out.json([asdict(host) for host in found])
    if not found:
        return session.out.line("no fleet is up: vulnzero lab up")
    rows = [(host.name, host.address, host.state, host.version or "-", host.held or "-") for host in found]
    return session.out.table(("HOST", "ADDRESS", "STATE", "VERSION", "HELD AT"), rows)


@click.command("down", epilog=example("vulnzero lab down"))
@click.option("--yes", is_flag=True, help="do not ask, also while the dev stack runs")
@speaks
def down(yes: bool, session: Session) -> None:
    """Remove the fleet without a trace. The inventory keeps its records."""
    fleet = _fleet()
    if not yes:
        _ask_while_stack_runs()
    with _lab_errors():
        fleet.down(session.out.note)
    if session.out.is_json:
        session.out.json({"hosts": 0})
    else:
        session.out.line("the practice fleet is gone")


def _fleet() -> "Fleet":
    from starter.cli.place import my_place
    from starter.lab.fleet import Fleet

    if os.geteuid() != 0:
        raise click.UsageError("the practice fleet needs root: use sudo", click.get_current_context())
    place = my_place()
    return Fleet(place.number, place.data)


def _ask_while_stack_runs() -> None:
    """A deployment may have these hosts in hand: to it they would all be lost at once."""
    from starter.cli.place import my_place
    from starter.dev.locks import is_held

    if not is_held(my_place().data / "stack.lock"):
        return
    trouble = "the dev stack of this fleet runs, and may be patching these hosts"
    if not sys.stdin.isatty():
        raise click.UsageError(f"{trouble}: end it first, or add --yes", click.get_current_context())
    click.confirm(f"{trouble}. Remove them?", abort=True, err=True)


class _lab_errors:
    """What the fleet lacks is one line with the mend in it."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        from starter.lab.errors import LabError

        if isinstance(error, LabError):
            raise NeededMissing(str(error)) from error


async def _import(session: Session, assets: dict[str, Any], patches: dict[str, Any]) -> list[str] | None:
    """None where both are in the inventory, else the files that were written instead."""
    from starter.cli.place import my_place
    from starter.errors import NothingKnown
    from workflows.contracts.errors import LedgerUnavailable
    from workflows.contracts.inventory import AssetSpec, PatchSpec

    try:
        async with session.ledger() as ledger:
            await ledger.import_assets([AssetSpec.model_validate(one) for one in assets["assets"]])
            await ledger.import_patches([PatchSpec.model_validate(one) for one in patches["patches"]])
        return None
    except (LedgerUnavailable, NothingKnown) as error:
        session.out.note(f"not imported: {error}")
    folder = my_place().data / "lab"
    return [str(_write(folder / "assets.yml", assets)), str(_write(folder / "patches.yml", patches))]


def _write(path: Path, value: dict[str, Any]) -> Path:
    import yaml

    path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
    return path
