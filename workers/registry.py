"""Which worker runs what: one Temporal worker a queue, each with its own slots."""

from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.ansible.warm import Warm
from activities.database.session import Database
from activities.errors import TranslateErrors
from activities.ledger import LedgerActivities
from activities.patching import PatchingActivities
from activities.probing import ProbingActivities
from workers import run_dirs
from workers.identity import this_process
from workers.settings import Settings
from workflows.all_at_once import AllAtOnceDeployment
from workflows.canary import CanaryDeployment
from workflows.contracts.names import Queue
from workflows.rolling import RollingDeployment

WORKFLOWS = (AllAtOnceDeployment, RollingDeployment, CanaryDeployment)


def runner() -> SandboxedWorkflowRunner:
    # Without the passthrough each workflow would import pydantic and all contracts anew: 2.7 s and 11 MB each.
    return SandboxedWorkflowRunner(
        restrictions=SandboxRestrictions.default.with_passthrough_modules("workflows", "pydantic", "pydantic_core")
    )


def build(client: Client, database: Database, settings: Settings) -> list[Worker]:
    """The workers of the settings' queues. They share the client, the database and this process."""
    ledger = LedgerActivities(database, settings.max_concurrent_deployments, settings.strategy_defaults)
    probing = ProbingActivities(database)
    run_dirs.sweep(settings.run_dir)
    run_dir = run_dirs.own(settings.run_dir)
    # Its zygote ends with this process, and the next worker's sweep takes its folder: nobody has to close it.
    patching = PatchingActivities(database, client, run_dir, this_process(), Warm(run_dir).launch)
    # An operator's Ctrl-C waits this long for hosts in hand; then they are handed over unfinished.
    grace = timedelta(seconds=settings.drain_seconds)
    workers = {
        Queue.WORKFLOWS: lambda: Worker(
            client,
            task_queue=Queue.WORKFLOWS,
            workflows=WORKFLOWS,
            workflow_runner=runner(),
            # The default of 10 s is how long a task waits for a dead worker's cache before another takes it.
            sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
        ),
        Queue.CONTROL: lambda: Worker(
            client,
            task_queue=Queue.CONTROL,
            activities=[
                ledger.register,
                ledger.freeze_plan,
                ledger.admit,
                ledger.enter_state,
                ledger.record_verb,
                ledger.close,
            ],
            max_concurrent_activities=settings.control_slots,
            interceptors=[TranslateErrors()],
        ),
        Queue.ANSIBLE: lambda: Worker(
            client,
            task_queue=Queue.ANSIBLE,
            activities=[probing.check_connectivity, probing.probe_wave, patching.apply_batch],
            max_concurrent_activities=settings.ansible_slots,
            graceful_shutdown_timeout=grace,
            # A cancel reaches a batch with its next heartbeat; the default would hold heartbeats back for 8 s.
            max_heartbeat_throttle_interval=timedelta(seconds=1),
            default_heartbeat_throttle_interval=timedelta(seconds=1),
            interceptors=[TranslateErrors()],
        ),
    }
    return [workers[queue]() for queue in settings.queues]
