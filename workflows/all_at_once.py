"""All at once: every host as soon as there is a place for it; for what may be down together."""

from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.names import WorkflowType
    from workflows.contracts.steps import DeploymentResult
    from workflows.contracts.strategies import AllAtOnce
    from workflows.decisions.steps import all_at_once_steps
    from workflows.deployment import Deployment


@workflow.defn(name=WorkflowType.ALL_AT_ONCE)
class AllAtOnceDeployment(Deployment):
    def __init__(self) -> None:
        super().__init__(WorkflowType.ALL_AT_ONCE)

    @workflow.run
    async def run(self, raw: Any = None) -> DeploymentResult:
        return await self.deploy(raw, AllAtOnce, all_at_once_steps)
