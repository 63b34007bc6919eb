"""From hosts and a strategy to a frozen plan: who, in which wave, and every threshold as a count (rules 1-4)."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence

from workflows.contracts.errors import InvalidRequest
from workflows.contracts.inventory import Patch
from workflows.contracts.plans import Plan, PlanHost, Thresholds, Wave
from workflows.contracts.strategies import AllAtOnce, Canary, Rolling, StrategyParams
from workflows.decisions.selectors import parse_selector

DOMAINS = ("zone", "rack", "service")  # failure domains, the widest first


def spread(hosts: Sequence[PlanHost], domains: Sequence[str] = DOMAINS) -> list[PlanHost]:
    """Orders hosts so that neighbours come from different failure domains wherever the labels allow it (rule 4).

    Greedy: always the fullest domain that was not the last one taken. Ties fall by name, so a plan made twice from
    the same hosts is the same plan.
    """
    if not domains or len(hosts) < 2:
        return sorted(hosts, key=lambda host: host.name)
    groups: dict[str, list[PlanHost]] = defaultdict(list)
    for host in hosts:
        groups[host.labels.get(domains[0], "")].append(host)
    waiting = {domain: spread(members, domains[1:])[::-1] for domain, members in groups.items()}
    ordered: list[PlanHost] = []
    last = None
    while waiting:
        candidates = [domain for domain in waiting if domain != last] or list(waiting)
        last = min(candidates, key=lambda domain: (-len(waiting[domain]), domain))
        ordered.append(waiting[last].pop())
        if not waiting[last]:
            del waiting[last]
    return ordered


def thresholds(params: StrategyParams, hosts: int, stop_at_first: bool = False) -> Thresholds:
    """Every limit as a count of hosts. Raises InvalidRequest where min_healthy leaves no host free to take."""
    floor = params.min_healthy.ceiled(hosts) if params.min_healthy else 0
    if floor >= hosts:
        raise InvalidRequest(
            "min_healthy",
            f"{params.min_healthy} of {hosts} hosts is {floor}, which leaves no host free to take",
            f"at most {hosts - 1} can stay in service",
        )
    return Thresholds(
        max_failures=1 if stop_at_first else params.max_failures,
        max_unreachable=params.max_unreachable or max(2, hosts // 10),
        max_concurrency=params.max_concurrency,
        min_healthy=floor,
        host_timeout=params.host_timeout,
        on_failure=params.after_failure,
    )


def waves(hosts: int, size: int) -> tuple[Wave, ...]:
    """Cuts `hosts` into waves of `size`; the last may be smaller."""
    return tuple(
        Wave(number=number, first=first, hosts=min(size, hosts - first))
        for number, first in enumerate(range(0, hosts, size), start=1)
    )


def plan_all_at_once(patch: Patch, hosts: Sequence[PlanHost], params: AllAtOnce) -> Plan:
    ordered = spread(hosts)
    return Plan(
        strategy="all-at-once",
        patch=patch,
        hosts=tuple(host.asset_id for host in ordered),
        waves=waves(len(ordered), len(ordered)),
        thresholds=thresholds(params, len(ordered)),
    )


def plan_canary(patch: Patch, hosts: Sequence[PlanHost], params: Canary) -> Plan:
    """Stages are cumulative. One that adds no host is dropped; hosts that no stage reaches stay out of the plan."""
    rest, total = spread(hosts), len(hosts)
    taken: list[PlanHost] = []
    cut: list[Wave] = []
    for stage in params.stages:
        if stage.selector:
            chosen = parse_selector(stage.selector)
            new = [host for host in rest if chosen.matches(host.asset_id, host.labels)]
        else:
            assert stage.size is not None
            new = _first(rest, max(0, stage.size.floored(total) - len(taken)), every_platform=not cut)
        if new:
            cut.append(Wave(number=len(cut) + 1, first=len(taken), hosts=len(new)))
            taken += new
            rest = [host for host in rest if host not in new]
    if not taken:
        raise InvalidRequest("stages", "no stage reaches a host", "the last one may be 1, which is all of them")
    notes = [f"{len(rest)} of {total} hosts stay out: no stage reaches them"] if rest else []
    return Plan(
        strategy="canary",
        patch=patch,
        hosts=tuple(host.asset_id for host in taken),
        waves=tuple(cut),
        thresholds=thresholds(params, len(taken)),
        monitoring=params.monitoring_duration,
        auto_promote=params.auto_promote,
        notes=tuple(notes),
    )


def _first(hosts: list[PlanHost], number: int, every_platform: bool) -> list[PlanHost]:
    """The next `number` hosts in rollout order; `every_platform`: one of each platform among them, if they suffice."""
    if not every_platform:
        return hosts[:number]
    seen = {host.platform: host for host in reversed(hosts)}  # the first host of each platform
    first = sorted(seen.values(), key=hosts.index)[:number]
    others = [host for host in hosts if host not in first][: number - len(first)]
    return sorted(first + others, key=hosts.index)


def plan_rolling(patch: Patch, hosts: Sequence[PlanHost], params: Rolling) -> Plan:
    ordered = spread(hosts)
    size = params.batch_size.floored(len(ordered))
    notes = []
    if not params.continue_on_error and params.max_failures > 1:
        notes.append(
            f"the first failed host ends the deployment: continue_on_error is false, so max_failures "
            f"{params.max_failures} never applies"
        )
    return Plan(
        strategy="rolling",
        patch=patch,
        hosts=tuple(host.asset_id for host in ordered),
        waves=waves(len(ordered), size),
        thresholds=thresholds(params, len(ordered), stop_at_first=not params.continue_on_error),
        wait_seconds=params.wait_seconds,
        notes=tuple(notes),
    )


def plan_for(patch: Patch, hosts: Sequence[PlanHost], params: StrategyParams) -> Plan:
    """The plan of any strategy: its parameters' type names it. Raises InvalidRequest for what does not fit."""
    _check_platforms(patch, hosts)
    match params:
        case Rolling():
            return plan_rolling(patch, hosts, params)
        case Canary():
            return plan_canary(patch, hosts, params)
        case AllAtOnce():
            return plan_all_at_once(patch, hosts, params)
    raise InvalidRequest("strategy", f"there is no planner for {type(params).__name__}")


def _check_platforms(patch: Patch, hosts: Sequence[PlanHost]) -> None:
    unfit = [host for host in hosts if host.platform not in patch.platforms]
    if unfit:
        more = f", nor for {len(unfit) - 1} more of the chosen hosts" if len(unfit) > 1 else ""
        raise InvalidRequest(
            unfit[0].name,
            f"is {unfit[0].platform}, for which patch {patch.name} has no package{more}",
            f"it has {', '.join(sorted(patch.platforms))}: leave the others out of the selector",
        )


def plan_hash(plan: Plan) -> str:
    """SHA-256 over the plan's canonical JSON: an approval names it, and any change voids that approval."""
    text = json.dumps(plan.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
