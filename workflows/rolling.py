"""Rolling: wave after wave with a wait in between, ending at the first sign of trouble."""

from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.names import WorkflowType
    from workflows.contracts.steps import DeploymentResult
    from workflows.contracts.strategies import Rolling
    from workflows.decisions.steps import rolling_steps
    from workflows.deployment import Deployment


@workflow.defn(name=WorkflowType.ROLLING)
class RollingDeployment(Deployment):
    def __init__(self) -> None:
        super().__init__(WorkflowType.ROLLING)

    @workflow.run
    async def run(self, raw: Any = None) -> DeploymentResult:
        return await self.deploy(raw, Rolling, rolling_steps)
