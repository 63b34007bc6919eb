"""Canary: a few hosts first, watched for a while, then more; everything goes back when they fall ill."""

from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.names import WorkflowType
    from workflows.contracts.steps import DeploymentResult
    from workflows.contracts.strategies import Canary
    from workflows.decisions.steps import canary_steps
    from workflows.deployment import Deployment


@workflow.defn(name=WorkflowType.CANARY)
class CanaryDeployment(Deployment):
    def __init__(self) -> None:
        super().__init__(WorkflowType.CANARY)

    @workflow.run
    async def run(self, raw: Any = None) -> DeploymentResult:
        return await self.deploy(raw, Canary, canary_steps)
