"""`vulnzero plan`: what a deployment would do, and what that rests on. `deploy` shows the head of it before it asks."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from starter.cli import human
from starter.cli.exits import wait_for
from starter.cli.options import Session, asks_ledger, example
from starter.cli.strategy import StrategyCommand, parsed, strategy_options

if TYPE_CHECKING:
    from starter.preview import HostPreview, Preview
    from workflows.contracts.strategies import StrategyParams

_WAVES_SHOWN, _HOSTS_SHOWN = 4, 6


@click.command(
    "plan",
    cls=StrategyCommand,
    epilog=example("vulnzero plan acme-healthd-1.0.1 --to env=prod --strategy canary --stages '10%,50%,1'"),
)
@click.argument("patch")
@strategy_options
@asks_ledger
def plan(patch: str, selector: str, strategy: str, session: Session, **given: Any) -> None:
    """Show what 'deploy' with the same words would do: waves, hosts, limits. Touches no host.

    VERSION is what a host's last run left, as the ledger stored it then. The hash names the plan: the deployment has
    the same one, unless the inventory or a worker's defaults differ by then.
    """
    parameters = parsed(strategy, given)

    async def read() -> None:
        async with session.ledger() as ledger:
            found = await preview_of(ledger, patch, selector, parameters)
        if session.out.is_json:
            return session.out.json(found)
        for line in summary(found, parameters):
            session.out.line(line)
        session.out.line()
        rows = [
            (host.name, wave.number, host.platform, host.version or "-", host.wanted, _last_run(found, host),
             host.held_by or "-")
            for wave in found.waves
            for host in wave.hosts
        ]  # fmt: skip
        return session.out.table(("HOST", "WAVE", "PLATFORM", "VERSION", "WANTED", "LAST RUN", "HELD BY"), rows)

    wait_for(read())


async def preview_of(ledger: Any, patch: str, selector: str, strategy: "StrategyParams") -> "Preview":
    from starter.preview import preview

    return await preview(ledger, await ledger.patch(patch), selector, strategy)


def summary(found: "Preview", asked: "StrategyParams") -> list[str]:
    """The head of a plan, in lines; `asked` knows which parameters are not defaults."""
    from starter.cli import tactics

    ends_at, limits = human.limits(found.thresholds)
    patch, hosts, given = found.patch, found.hosts, asked.model_fields_set
    cves = f", {', '.join(patch.cves[:5])}" if patch.cves else ""
    pairs = [
        ("patch", f"{patch.name} ({patch.severity}{cves})"),
        ("strategy", tactics.name(found.strategy)),
        ("to", f"{human.hosts(len(hosts))} ({human.plain(found.selector)})"),
        ("left out", _left_out(found)),
        *tactics.course(found, asked),
        *(("", line) for line in _waves(found)),
        ("ends at", ends_at),
        ("then", tactics.after_failure(found.thresholds.on_failure, asked)),
        ("limits", limits),
        ("stored", _stored(found)),
        *(("note", f"{number} of them belong to deployment {holder} now: this one would wait for it")
          for holder, number in sorted(Counter(host.held_by for host in hosts if host.held_by).items())),
        *(("note", note) for note in found.notes if "max_failures" in given or "max_failures" not in note),
        ("hash", found.hash[:12]),
    ]  # fmt: skip
    return [f"{label:<8}  {value}" for label, value in pairs if value]


def _waves(found: "Preview") -> list[str]:
    lines = []
    for wave in found.waves[:_WAVES_SHOWN]:
        names = [host.name for host in wave.hosts]
        more = f" and {len(names) - _HOSTS_SHOWN} more" if len(names) > _HOSTS_SHOWN else ""
        lines.append(f"{wave.number}: {', '.join(names[:_HOSTS_SHOWN])}{more}")
    if len(found.waves) > _WAVES_SHOWN:
        lines.append(f"and {len(found.waves) - _WAVES_SHOWN} more waves")
    return lines


def _left_out(found: "Preview") -> str:
    if not found.left_out:
        return ""
    number = sum(found.left_out.values())
    by = ", ".join(f"{count} by {term}" for term, count in found.left_out.items())
    return f"{number} of {number + len(found.hosts)} assets: {by}"


def _stored(found: "Preview") -> str:
    """Which versions were seen, and how old what is known is."""
    seen = [host for host in found.hosts if host.seen_at is not None]
    oldest = min(host.imported_at for host in found.hosts)
    imported = f"imported {_seen(found, oldest)} at the earliest"
    if not seen:
        return f"no version was seen yet; {imported}"
    versions = ", ".join(f"{number} at {version}" for version, number in Counter(host.version for host in seen).items())
    unseen = f", {len(found.hosts) - len(seen)} never seen" if len(seen) < len(found.hosts) else ""
    age = _seen(found, min(host.seen_at for host in seen if host.seen_at))
    return f"{versions}{unseen}, seen {age} at the earliest; {imported}"


def _last_run(found: "Preview", host: "HostPreview") -> str:
    return f"{host.state} {_seen(found, host.seen_at)}" if host.state else "-"


def _seen(found: "Preview", at: Any) -> str:
    return "-" if at is None else f"{human.duration((found.as_of - at).total_seconds())} ago"
