"""Deployments as a watcher meets them, made by hand: every number in them is known."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from activities.database.views import DeploymentView, HostLine, LogLine, WaveLine
from starter.follow import Snapshot
from workflows.contracts.names import DeploymentState, HostState, OnFailure
from workflows.contracts.plans import Thresholds
from workflows.contracts.status import Status, Waiting
from workflows.contracts.steps import Counts

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
LIMITS = Thresholds(
    max_failures=3, max_unreachable=4, max_concurrency=10, min_healthy=0, host_timeout=300, on_failure=OnFailure.STOP
)


def host(number: int, wave: int, state: HostState, message: str = "", ago: float = 30.0) -> HostLine:
    started = None if state is HostState.PENDING else NOW - timedelta(seconds=ago)
    ended = None if state in (HostState.PENDING, HostState.RUNNING) else NOW - timedelta(seconds=ago / 2)
    return HostLine(
        asset_id=number, name=f"web{number:03d}", wave=wave, state=state, message=message,
        before="1.0.0" if started else None, after="1.0.1" if state is HostState.SUCCEEDED else None,
        started_at=started, finished_at=ended, seconds=None if started is None else ago,
    )  # fmt: skip


def fleet(waves: int, per_wave: int, current: int) -> list[HostLine]:
    """Waves before `current` are done but for one failed host; in `current` the first three run."""
    hosts = []
    for wave in range(1, waves + 1):
        for place in range(per_wave):
            number = (wave - 1) * per_wave + place + 1
            if wave < current:
                state = HostState.FAILED if (wave, place) == (1, 1) else HostState.SUCCEEDED
            else:
                state = HostState.RUNNING if wave == current and place < 3 else HostState.PENDING
            said = "acme-healthd answers 500 on /health" if state is HostState.FAILED else ""
            hosts.append(host(number, wave, state, said, ago=20.0 + number))
    return hosts


def snapshot(
    hosts: list[HostLine],
    state: DeploymentState = DeploymentState.RUNNING,
    message: str = "wave 3 of 10: 4 hosts",
    events: tuple[LogLine, ...] = (),
    waits_for: Waiting | None = None,
    trouble: str = "",
    finished: bool = False,
    strategy: str = "RollingDeployment",
    params: dict[str, Any] = {},  # noqa: B006 - read only
    on_failure: OnFailure = OnFailure.STOP,
) -> Snapshot:
    counts = Counter(one.state for one in hosts)
    by_wave: dict[int, Counter[HostState]] = {}
    for one in hosts:
        by_wave.setdefault(one.wave, Counter())[one.state] += 1
    view = DeploymentView(
        id=12, workflow_id="deployment-12", patch="acme-healthd-1.0.1", strategy=strategy, state=state,
        message=message, hosts_total=len(hosts), hosts_done=counts[HostState.SUCCEEDED],
        counts=Counts(by_state=dict(counts)), requested_by="ada", created_at=NOW - timedelta(seconds=140),
        started_at=NOW - timedelta(seconds=125), finished_at=NOW if finished else None, severity="critical",
        cves=("CVE-2024-12345",), selection="env=prod,tier!=db", strategy_params=params, plan_hash="c0ffee" * 10,
        thresholds=LIMITS.model_copy(update={"on_failure": on_failure}), wait_seconds=60.0, notes=(), last_offset=9,
        as_of=NOW,
        waves=tuple(
            WaveLine(number=wave, hosts=sum(states.values()), counts=Counts(by_state=dict(states)))
            for wave, states in sorted(by_wave.items())
        ),
    )  # fmt: skip
    status = Status(deployment_id=12, strategy=strategy, state=state, message=message, step="", waits_for=waits_for)
    return Snapshot(view, hosts, events, status, trouble)


def events(number: int) -> tuple[LogLine, ...]:
    return tuple(
        LogLine(
            offset=index, at=NOW - timedelta(seconds=number - index), kind="host",
            host=f"web{index:03d}", message="acme-healthd is at 1.0.1", data={"state": "SUCCEEDED"},
        )
        for index in range(1, number + 1)
    )  # fmt: skip
