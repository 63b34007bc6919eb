"""What a deployment would do, from what is stored: the planner's own decisions, made early and for reading only."""

from collections import Counter
from typing import Any

from starter.ledger import Ledger
from workers.settings import Settings
from workflows.contracts.inventory import Patch
from workflows.contracts.model import Contract
from workflows.contracts.plans import Plan, PlanHost
from workflows.contracts.strategies import Rolling
from workflows.decisions.planning import plan_rolling


class Preview(Contract):
    """`plan` is what the worker will freeze, provided that nothing changes until then and that its defaults (of
    parameters the user left out) are those of this machine. `names` are hosts in rollout order."""

    patch: Patch
    plan: Plan
    names: tuple[str, ...]
    warnings: tuple[str, ...]

    def names_of(self, wave: int) -> tuple[str, ...]:
        """`wave` counts from 1."""
        one = self.plan.waves[wave - 1]
        return self.names[one.first : one.first + one.hosts]


async def preview_rolling(ledger: Ledger, patch: Patch, selector: str, params: dict[str, Any]) -> Preview:
    """Raises InvalidRequest for parameters that cannot be planned with, EmptySelection."""
    hosts = await ledger.select(selector)
    strategy = Rolling.read(Settings.load().strategy_defaults | params, "strategy_params")
    plan = plan_rolling(patch.id, hosts, strategy)
    name_of = {host.asset_id: host.name for host in hosts}
    return Preview(
        patch=patch,
        plan=plan,
        names=tuple(name_of[asset_id] for asset_id in plan.hosts),
        warnings=tuple(_without_platform(patch, hosts)),
    )


def _without_platform(patch: Patch, hosts: list[PlanHost]) -> list[str]:
    lacking = Counter(host.platform for host in hosts if host.platform not in patch.platforms)
    return [
        f"{number} of {len(hosts)} hosts run {platform}, for which {patch.name} has no package"
        for platform, number in sorted(lacking.items())
    ]
