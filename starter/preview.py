"""What a deployment would do, from what is stored: the planner itself, run early and for reading only."""

from typing import Any

from activities.ledger import make_plan
from starter.ledger import Ledger
from starter.words import in_users_words
from workers.settings import Settings
from workflows.contracts.inventory import Patch
from workflows.contracts.model import Contract
from workflows.contracts.plans import Plan
from workflows.contracts.requests import DeploymentRequest
from workflows.contracts.strategies import Rolling


class Preview(Contract):
    """`plan` is what the worker will freeze, provided that nothing changes until then and that its defaults (of
    parameters the user left out) are those of this machine. `names` are hosts in rollout order."""

    patch: Patch
    plan: Plan
    names: tuple[str, ...]

    def names_of(self, wave: int) -> tuple[str, ...]:
        """`wave` counts from 1."""
        one = self.plan.waves[wave - 1]
        return self.names[one.first : one.first + one.hosts]


async def preview(ledger: Ledger, patch: Patch, selector: str, strategy: Rolling) -> Preview:
    """Raises InvalidRequest for parameters or platforms that cannot be planned with, EmptySelection."""
    params: dict[str, Any] = in_users_words(strategy)
    request = DeploymentRequest(patch_id=patch.id, selector=selector, strategy_params=params)
    async with ledger.assets_for_planning() as assets:
        defaults = Settings.load().strategy_defaults
        plan, hosts = await make_plan(assets, patch, strategy.workflow_type, request, defaults)
    name_of = {host.asset_id: host.name for host in hosts}
    return Preview(patch=patch, plan=plan, names=tuple(name_of[asset_id] for asset_id in plan.hosts))
