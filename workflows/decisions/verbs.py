"""Which verb a state allows, and the sentence that refuses it (rules 11-13, 15)."""

from workflows.contracts.names import DeploymentState, Verb


def refusal(
    verb: Verb,
    state: DeploymentState,
    cancelling: bool,
    wait_id: str | None,
    wanted: str | None,
    undoing: bool = False,
    deciding: bool = False,
) -> str | None:
    """Why `verb` does not apply now, or None where it does. A second pause or cancel applies and changes nothing.

    `wait_id` is the wait that runs (None: nothing waits), `wanted` the one that a promote names. `undoing`: a rollback
    was asked for. `deciding`: a spent failure budget waits for a person's choice.
    """
    if state.is_result:
        return f"the deployment is closed as {state}"
    if cancelling and verb is not Verb.CANCEL:
        return "the deployment is being cancelled"
    if undoing and verb in (Verb.CANCEL, Verb.PROMOTE):
        return "the deployment is being rolled back"
    if deciding and verb in (Verb.RESUME, Verb.PAUSE):
        return "a failure budget is spent: choose rollback or cancel"
    if verb is Verb.RESUME and state is not DeploymentState.PAUSED:
        return f"nothing is paused: the deployment is {state}"
    if verb is Verb.PROMOTE:
        if state is DeploymentState.PAUSED:
            return "the deployment is PAUSED: resume it first"
        if wait_id is None:
            return f"nothing waits for a promote: the deployment is {state}"
        if wanted is not None and wanted != wait_id:
            return f"{wanted} is over: the deployment waits in {wait_id}"
    return None
    return None
