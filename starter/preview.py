"""What a deployment would do, from what is stored: planned as the worker plans, early and for reading only."""

from datetime import UTC, datetime

from starter.choosing import choose
from starter.ledger import Ledger
from starter.words import in_users_words
from workers.settings import Settings
from workflows.contracts.errors import InvalidRequest
from workflows.contracts.inventory import Asset, Patch
from workflows.contracts.model import Contract
from workflows.contracts.names import HostState
from workflows.contracts.plans import PlanHost, Thresholds
from workflows.contracts.strategies import Rolling
from workflows.decisions.planning import plan_hash, plan_rolling


class HostPreview(Contract):
    """`wanted` is the version it would get; `version` the one that the last run left, in `state` at `seen_at` (None: no
    run has told one).

    `held_by` is the deployment that has the host now, and that this one would wait for."""

    asset_id: int
    name: str
    platform: str
    wanted: str
    version: str | None
    state: HostState | None
    seen_at: datetime | None
    imported_at: datetime
    held_by: int | None


class WavePreview(Contract):
    number: int
    hosts: tuple[HostPreview, ...]


class Preview(Contract):
    """What the worker will freeze under `hash`, provided that nothing changes until then and that its defaults (of
    parameters the user left out) are those of this machine.

    Hosts are in rollout order. `left_out`: assets that the selector does not choose, by the first term that says so.
    """

    patch: Patch
    selector: str
    strategy: str
    hash: str
    waves: tuple[WavePreview, ...]
    wait_seconds: float
    thresholds: Thresholds
    notes: tuple[str, ...]
    left_out: dict[str, int]
    as_of: datetime

    @property
    def hosts(self) -> tuple[HostPreview, ...]:
        return tuple(host for wave in self.waves for host in wave.hosts)


async def preview(ledger: Ledger, patch: Patch, selector: str, strategy: Rolling) -> Preview:
    """Raises InvalidRequest for parameters or platforms that cannot be planned with, UnknownThing, EmptySelection."""
    params = Rolling.read(Settings.load().strategy_defaults | in_users_words(strategy), "strategy_params")
    choice = choose(selector, await ledger.assets())
    _check_platforms(patch, choice.chosen)
    facts = await ledger.facts(patch, choice.chosen)
    plan = plan_rolling(
        patch,
        [PlanHost(asset_id=one.id, name=one.name, platform=one.platform, labels=one.labels) for one in choice.chosen],
        params,
    )
    assets = {asset.id: asset for asset in choice.chosen}

    def host(asset_id: int) -> HostPreview:
        asset, fact = assets[asset_id], facts[asset_id]
        return HostPreview(
            name=asset.name, platform=asset.platform, wanted=patch.platforms[asset.platform].version, **dict(fact)
        )

    return Preview(
        patch=patch,
        selector=selector,
        strategy=strategy.workflow_type,
        hash=plan_hash(plan),
        waves=tuple(
            WavePreview(
                number=wave.number, hosts=tuple(host(one) for one in plan.hosts[wave.first : wave.first + wave.hosts])
            )
            for wave in plan.waves
        ),
        wait_seconds=plan.wait_seconds,
        thresholds=plan.thresholds,
        notes=plan.notes,
        left_out=choice.left_out,
        as_of=datetime.now(UTC),
    )


def _check_platforms(patch: Patch, assets: list[Asset]) -> None:
    unfit = [asset for asset in assets if asset.platform not in patch.platforms]
    if unfit:
        more = f", nor for {len(unfit) - 1} more of the chosen hosts" if len(unfit) > 1 else ""
        known = ", ".join(sorted(patch.platforms))
        raise InvalidRequest(
            unfit[0].name,
            f"is {unfit[0].platform}, for which patch {patch.name} has no package{more}",
            f"it has {known}: leave the others out of the selector",
        )
