"""How a strategy goes about it, in words: what `plan`, `show` and `watch` tell of stages, waits and failures."""

from typing import TYPE_CHECKING

from starter.cli import human
from workflows.contracts.errors import InvalidRequest
from workflows.contracts.names import OnFailure, WorkflowType
from workflows.contracts.strategies import Canary, Rolling, StrategyParams, read_params

if TYPE_CHECKING:
    from activities.database.views import DeploymentView
    from starter.preview import Preview

_AFTER = {
    OnFailure.ROLLBACK: "every changed host goes back",
    OnFailure.ROLLBACK_FAILED: "broken hosts go back, good ones keep the patch",
    OnFailure.PAUSE: "a person decides: rollback or cancel",
    OnFailure.STOP: "all stays as it is",
}


def name(workflow_type: str) -> str:
    """As --strategy takes it; a type that is not known here, as it is."""
    known = {kind.value: kind.name.lower().replace("_", "-") for kind in WorkflowType}
    return known.get(workflow_type, workflow_type)


def course(found: "Preview", asked: StrategyParams) -> list[tuple[str, str]]:
    """A plan's stages and waves, and what lies between them."""
    waves, between = len(found.waves), max(len(found.waves) - 1, 0)
    match asked:
        case Canary():
            unused = len(asked.stages) - waves
            total = human.duration(found.monitoring * between)
            dropped = f"; {unused} add{'s' if unused == 1 else ''} no host" if unused else ""
            return [
                ("stages", f"{stages(asked)}{_default(asked, 'stages')}{dropped}"),
                ("watched", watched(asked) + (f": {total} of monitoring" if found.monitoring else "")),
                ("promote", promotion(asked)),
                ("waves", str(waves)),
            ]
        case Rolling():
            waits = human.duration(found.wait_seconds * between)
            pauses = f"{human.duration(found.wait_seconds)} between{_default(asked, 'wait_seconds')}: {waits} of waits"
            return [("waves", f"{waves}{_default(asked, 'batch_size')}, {pauses}")]
    return [("waves", f"{waves}: every host as soon as there is a place for it")]


def stages(of: Canary) -> str:
    return ", ".join(str(stage) for stage in of.stages)


def watched(of: Canary) -> str:
    if not of.monitoring_duration:
        return "not at all"
    return (
        f"{human.duration(of.monitoring_duration)} after each stage but the last{_default(of, 'monitoring_duration')}"
    )


def promotion(of: Canary) -> str:
    by = "by itself, when the monitoring is over" if of.auto_promote else "by a person, after each stage but the last"
    return by + _default(of, "auto_promote")


def after_failure(chosen: OnFailure, asked: StrategyParams) -> str:
    """What follows a spent budget; `asked` knows whether somebody chose it."""
    default = "" if {"on_failure", "rollback_on_failure"} & asked.model_fields_set else " (default)"
    return f"{chosen}: {_AFTER[chosen]}{default}"


def asked_for(view: "DeploymentView") -> StrategyParams | None:
    """The parameters of a deployment; None where they could not be read, which is why it was REJECTED."""
    try:
        return read_params(view.strategy, view.strategy_params)
    except InvalidRequest:
        return None


def given(view: "DeploymentView") -> str:
    """The strategy and what was asked of it, as it was written: "rolling, batch_size 20%, wait_seconds 60"."""
    params = asked_for(view)
    words = []
    for key, value in sorted(view.strategy_params.items()):
        read = getattr(params, key, value)
        plain = stages(params) if key == "stages" and isinstance(params, Canary) else read
        words.append(f"{key} {_written(plain)}")
    return ", ".join([name(view.strategy), *words])


def details(view: "DeploymentView") -> list[tuple[str, str]]:
    """What the plan of one deployment says beyond its waves: how a canary is watched, and what a failure brings."""
    params = asked_for(view)
    if params is None or view.thresholds is None:
        return []
    pairs = [("then", after_failure(view.thresholds.on_failure, params))]
    if isinstance(params, Canary):
        pairs = [("stages", stages(params) + _default(params, "stages")), ("watched", watched(params)),
                 ("promote", promotion(params)), *pairs]  # fmt: skip
    return pairs


def in_short(view: "DeploymentView") -> str:
    """All that tells one rollout from another, for one line of a screen."""
    params, words = asked_for(view), [name(view.strategy)]
    if isinstance(params, Canary):
        words = [f"{words[0]} {stages(params)}", f"watched {human.duration(params.monitoring_duration)}"]
        words += [] if params.auto_promote else ["promoted by hand"]
    if isinstance(params, Rolling) and view.thresholds:
        words.append(f"{human.duration(view.wait_seconds)} between waves")
    if view.thresholds:
        words.append(f"on failure {view.thresholds.on_failure}")
    return human.plain(", ".join(words))


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return human.plain(str(value.value if isinstance(value, OnFailure) else value))


def _default(asked: StrategyParams, parameter: str) -> str:
    return "" if parameter in asked.model_fields_set else " (default)"
