"""What a deployment would do, from what is stored: planned as the worker plans, early and for reading only."""

from datetime import UTC, datetime

from starter.choosing import choose
from starter.ledger import Ledger
from starter.words import in_users_words, workflow_type
from workers.settings import Settings
from workflows.contracts.inventory import Patch
from workflows.contracts.model import Contract
from workflows.contracts.names import HostState
from workflows.contracts.plans import PlanHost, Thresholds
from workflows.contracts.strategies import StrategyParams, read_params
from workflows.decisions.planning import plan_for, plan_hash


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
    monitoring: float  # seconds
    auto_promote: bool
    thresholds: Thresholds
    notes: tuple[str, ...]
    left_out: dict[str, int]
    as_of: datetime

    @property
    def hosts(self) -> tuple[HostPreview, ...]:
        return tuple(host for wave in self.waves for host in wave.hosts)


async def preview(ledger: Ledger, patch: Patch, selector: str, strategy: StrategyParams) -> Preview:
    """Raises InvalidRequest for parameters or platforms that cannot be planned with, UnknownThing, EmptySelection."""
    kind = workflow_type(strategy)
    params = read_params(kind, in_users_words(strategy), Settings.load().strategy_defaults)
    choice = choose(selector, await ledger.assets())
    plan = plan_for(
        patch,
        [PlanHost(asset_id=one.id, name=one.name, platform=one.platform, labels=one.labels) for one in choice.chosen],
        params,
    )
    facts = await ledger.facts(patch, choice.chosen)
    assets = {asset.id: asset for asset in choice.chosen}

    def host(asset_id: int) -> HostPreview:
        asset, fact = assets[asset_id], facts[asset_id]
        return HostPreview(
            name=asset.name, platform=asset.platform, wanted=patch.platforms[asset.platform].version, **dict(fact)
        )

    return Preview(
        patch=patch,
        selector=selector,
        strategy=kind,
        hash=plan_hash(plan),
        waves=tuple(
            WavePreview(
                number=wave.number, hosts=tuple(host(one) for one in plan.hosts[wave.first : wave.first + wave.hosts])
            )
            for wave in plan.waves
        ),
        wait_seconds=plan.wait_seconds,
        monitoring=plan.monitoring,
        auto_promote=plan.auto_promote,
        thresholds=plan.thresholds,
        notes=plan.notes,
        left_out=choice.left_out,
        as_of=datetime.now(UTC),
    )
