"""`vulnzero check`: can the assets be reached, with the trust that a deployment has?"""

import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from starter.cli import human
from starter.cli.exits import Exit, wait_for
from starter.cli.options import Session, asks_ledger, example

if TYPE_CHECKING:
    from activities.reaching import Looked, Unreachable
    from workflows.contracts.inventory import Asset


@click.command("check", epilog=example("vulnzero check env=prod"))
@click.argument("selector", default="all")
@click.option("--at-once", default=50, show_default=True, type=click.IntRange(1, 500), help="connections at a time")
@asks_ledger
def check(selector: str, at_once: int, session: Session) -> int:
    """Connect to each asset that SELECTOR names (default: all), from this machine; one line each, as answers come.

    The pinned host key and the asset's own credential are used, nothing else. Nothing is changed. Exit 0 only if all
    can be reached, else 1.
    """
    return wait_for(_check(session, selector, at_once))


async def _check(session: Session, selector: str, at_once: int) -> int:
    async with session.ledger() as ledger:
        assets = await ledger.select(selector)
    from activities.reaching import each, trouble_reaching

    width = max(len(asset.name) for asset in assets)
    found: dict[int, dict[str, Any]] = {}
    started = time.monotonic()
    async with aclosing(each(assets, trouble_reaching, at_once)) as looks:
        async for looked in looks:
            found[looked.asset.id] = _record(looked)
            if not session.out.is_json:
                session.out.line(_line(session, looked, width))
    took = time.monotonic() - started
    if session.out.is_json:
        session.out.json([found[asset.id] for asset in assets])
    bad = sum(not record["reachable"] for record in found.values())
    said = f"{len(assets) - bad} of {human.hosts(len(assets))} can be reached"
    # Beside the result: one line a host, and nothing else, is what a pipe gets.
    session.out.note(f"{said} ({human.duration(took)}, {len(assets) / max(took, 0.001):.0f} hosts/s)")
    return Exit.NOT_SUCCEEDED if bad else Exit.DONE


def _line(session: Session, looked: "Looked[Unreachable | None]", width: int) -> str:
    asset, trouble = looked.asset, looked.answer
    state = session.out.state("UNREACHABLE") if trouble else session.out.styled("OK         ", "green")
    why = f"{human.plain(str(trouble))}; {trouble.mend}" if trouble else _where(asset)
    return f"{asset.name:<{width}}  {state}  {human.duration(looked.seconds):>6}  {why}"


def _where(asset: "Asset") -> str:
    return f"{asset.user}@{asset.address}:{asset.port}"


def _record(looked: "Looked[Unreachable | None]") -> dict[str, Any]:
    asset, trouble = looked.asset, looked.answer
    return {
        "asset_id": asset.id, "name": asset.name, "address": asset.address, "port": asset.port, "user": asset.user,
        "reachable": trouble is None, "problem": str(trouble) if trouble else None,
        "mend": trouble.mend if trouble else None, "seconds": round(looked.seconds, 3),
    }  # fmt: skip
