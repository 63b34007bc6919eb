"""The verbs: checked against the state, applied in memory at once, written to the ledger before they answer."""

import asyncio
from collections.abc import Callable
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows import ports
    from workflows.contracts.errors import Refused, RequestError
    from workflows.contracts.names import Control, Verb
    from workflows.contracts.requests import ARGUMENTS, PromoteArgument, VerbAnswer, VerbArgument
    from workflows.contracts.steps import RecordVerb
    from workflows.decisions.verbs import refusal
    from workflows.situation import Situation


class Steering:
    """Updates are refused with a reason where they do not apply; signals are recorded and ignored (rule 15)."""

    def __init__(self, now: Situation, show: Callable[[], None]) -> None:
        self._now = now
        self._show = show
        self._closed = False
        self._recordings: list[asyncio.Task[None]] = []
        self.ledger = asyncio.Lock()

    def check(self, verb: Verb, raw: Any) -> VerbArgument:
        """Raises InvalidRequest for what cannot be read, Refused where the state does not allow it."""
        argument = ARGUMENTS[verb].read(raw, str(verb))
        wanted = argument.wait_id if isinstance(argument, PromoteArgument) else None
        wait_id = self._now.wait.wait_id if self._now.wait else None
        now = self._now
        if why := refusal(verb, now.state, now.cancelling, wait_id, wanted, now.undo, now.deciding):
            raise Refused(f"{verb} refused: {why}")
        return argument

    async def update(self, verb: Verb, raw: Any) -> VerbAnswer:
        argument = self.check(verb, raw)
        message = self._apply(verb, argument)
        await self._record(verb, argument, True, message)
        return VerbAnswer(deployment_id=self._now.deployment_id or 0, state=self._now.state, message=message)

    async def signal(self, verb: Verb, raw: Any) -> None:
        try:
            argument = self.check(verb, raw)
        except (RequestError, Refused) as error:
            workflow.logger.warning("signal %s ignored: %s", verb, error)
            self._now.sequence += 1
            who = raw.get("by") if isinstance(raw, dict) else None
            await self._record(verb, VerbArgument(by=who if isinstance(who, str) else "unknown"), False, str(error))
            return
        await self._record(verb, argument, True, self._apply(verb, argument))

    def cancelled_from_outside(self) -> None:
        """Temporal's own Cancel. The flow carries it out; the claim gate hears of it from the recording task."""
        argument = VerbArgument(by="Temporal cancel")
        if not self._now.ending:
            message = self._apply(Verb.CANCEL, argument)
            self._recordings.append(asyncio.create_task(self._record(Verb.CANCEL, argument, True, message)))

    async def while_paused(self) -> None:
        await workflow.wait_condition(lambda: not self._now.paused)

    async def close(self) -> None:
        """The deployment is over: what waits for its row gives up, what is being recorded is awaited."""
        self._closed = True
        for recording in self._recordings:
            await recording

    def _apply(self, verb: Verb, argument: VerbArgument) -> str:
        """Changes the situation, in one piece: no await may come between the check and this."""
        now, clock = self._now, workflow.now()
        now.sequence += 1
        if verb is Verb.PAUSE:
            if now.paused:
                return "was paused already"
            now.control, now.paused_by = Control.PAUSE, argument.by
            now.pauses += 1
            if now.wait:
                now.wait.stop(clock)
            message = "nothing new starts; hosts in hand finish"
        elif verb is Verb.RESUME:
            now.control = Control.RUN
            rest = f"{now.wait.what}, {now.wait.left(clock):.0f} s left" if now.wait else now.message
            message = f"goes on with: {rest}"
        elif verb is Verb.CANCEL:
            if now.cancelling:
                return "was being cancelled already"
            now.control = Control.STOP
            message = "hosts in hand finish, the rest is not started"
        elif verb is Verb.ROLLBACK:
            if now.undo:
                return "was being rolled back already"
            now.control, now.undo = Control.STOP, True
            message = "hosts in hand finish, then every changed host goes back"
        else:
            assert now.wait is not None and isinstance(argument, PromoteArgument)
            now.wait.promoted, now.full = True, now.full or argument.full
            early = f", {now.wait.left(clock):.0f} s early" if now.wait.left(clock) else ""
            message = f"{now.wait.what} is ended{early}"
        self._show()
        return message

    async def _record(self, verb: Verb, argument: VerbArgument, applied: bool, message: str) -> None:
        now = self._now
        sequence, control = now.sequence, now.control
        if now.deployment_id is None:
            await workflow.wait_condition(lambda: now.deployment_id is not None or self._closed)
        if now.deployment_id is None:
            return
        # No await before this lock once the row is known: after a resume the flow queues behind it with its next
        # state, so the claim gate has heard of the resume before the next batch asks it.
        async with self.ledger:
            now.writes += 1
            record = RecordVerb(
                deployment_id=now.deployment_id,
                verb=verb,
                sequence=sequence,
                write=now.writes,
                control=control,
                state=now.state,
                by=argument.by,
                reason=argument.reason,
                applied=applied,
                message=message,
                sentence=now.sentence,
            )
            await ports.RECORD_VERB.call(record, f"{verb} by {argument.by}: {message}"[:200])
