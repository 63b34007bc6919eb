"""Ansible's events in, our lines out: the one place that says how a host ended. Pure but for the marks it asks.

Never decided from an exit code: Ansible's says how the worst host fared. Never from an error's text either.
"""

from datetime import UTC, datetime
from typing import Any, Literal, cast, get_args

from activities.ansible.job import HostState, Line, Outcome, Started, TaskEvent, bounded
from activities.ansible.marks import Marks
from activities.ansible.playbook import CLAIM, PATCH

Event = dict[str, Any]
Status = Literal["ok", "failed", "skipped", "unreachable"]

STATUSES: dict[str, Status] = {
    "runner_on_ok": "ok",
    "runner_on_failed": "failed",
    "runner_on_skipped": "skipped",
    "runner_on_unreachable": "unreachable",
}
APPLIED = frozenset({"SUCCEEDED", "FAILED", "SKIPPED"})
LOOKED = APPLIED | {"NOTHING_CHANGED", "PARTIAL"}
EVIDENCE_LIMIT = 64 * 1024


class Outcomes:
    """Feed it every event with `take`, then `close` once; each host gets exactly one Outcome."""

    def __init__(self, hosts: list[str], marks: Marks, mode: Literal["apply", "look"] = "apply") -> None:
        self._open = dict.fromkeys(hosts)
        self._marks = marks
        self._states = LOOKED if mode == "look" else APPLIED
        self._fences: dict[str, int] = {}

    def take(self, event: Event) -> list[Line]:
        status = STATUSES.get(event.get("event", ""))
        data = event.get("event_data") or {}
        host, task = data.get("host"), data.get("task")
        if status is None or host not in self._open or task not in (CLAIM, PATCH):
            return []
        res = data.get("res")
        result: dict[str, Any] = res if isinstance(res, dict) else {}
        told = TaskEvent(host=host, task=task, status=status, message=_message(result), at=_moment(event, data))
        if task == PATCH:
            return [told, *self._patched(host, status, data, result)]
        lines = self._claimed(host, status, result)
        # A granted claim is in the ledger already: the live log would have it twice.
        return lines if any(isinstance(line, Started) for line in lines) else [told, *lines]

    def close(self, reason: str) -> list[Line]:
        """Outcomes of the hosts that nothing was heard of; `reason` is a clause: 'the run was cancelled'."""
        lines: list[Line] = []
        for host in list(self._open):
            if host in self._fences:
                lines.append(self._end(host, "UNKNOWN", f"{reason} while this host was in hand"))
            elif self._marks.asked(host):
                lines.append(self._end(host, "UNKNOWN", f"{reason} before the answer to this host's claim was seen"))
            else:
                lines.append(self._end(host, "NOT_CLAIMED", f"{reason} before this host asked for its claim"))
        return lines

    # -- the two tasks

    def _claimed(self, host: str, status: Status, result: dict[str, Any]) -> list[Line]:
        fence = result.get("fence")
        if status == "ok" and result.get("granted") is True and isinstance(fence, int):
            self._fences[host] = fence
            return [Started(host=host)]
        if status == "ok" and result.get("granted") is False:
            return [self._end(host, "NOT_CLAIMED", str(result.get("reason") or "the worker said no"))]
        # The patch does not run after a claim that failed.
        return [self._end(host, "NOT_CLAIMED", f"the claim could not be asked: {_message(result)}")]

    def _patched(self, host: str, status: Status, data: Event, result: dict[str, Any]) -> list[Line]:
        if status == "skipped":
            return [self._end(host, "NOT_CLAIMED", "the claim was not granted")]
        seconds = data.get("duration")
        facts: dict[str, Any] = {"seconds": float(seconds) if isinstance(seconds, int | float) else 0.0}
        if status == "unreachable":
            return [self._unreachable(host, result, facts)]
        if "timedout" in result:
            return [self._end(host, "UNKNOWN", "the host timeout ended the task; its work may run on", **facts)]
        if result.get("fenced") is True or result.get("busy") is True:
            return [self._end(host, "UNKNOWN", _message(result), **facts)]
        state = result.get("state")
        # Ansible's verdict and the module's must agree: a look succeeds as a task whatever it found.
        expected = "failed" if state == "FAILED" and self._states is APPLIED else "ok"
        if not isinstance(state, str) or state not in self._states or status != expected:
            said = _message(result) or "nothing"
            return [self._end(host, "UNKNOWN", f"the host gave no answer that we know: {said}", **facts)]
        for flag in ("changed", "resumed", "replayed", "superseded"):
            facts[flag] = result.get(flag) is True
        facts.update(before=_evidence(result.get("before")), after=_evidence(result.get("after")))
        return [self._end(host, cast(HostState, state), _message(result), **facts)]

    def _unreachable(self, host: str, result: dict[str, Any], facts: dict[str, Any]) -> Line:
        said = _ssh_words(_message(result))
        if self._marks.reached(host):
            # The module may have begun, and goes on without us.
            return self._end(host, "UNKNOWN", f"the connection was lost after the claim: {said}", **facts)
        return self._end(host, "UNREACHABLE", f"the host was never reached, nothing was run: {said}", **facts)

    def _end(self, host: str, state: HostState, message: str, **facts: Any) -> Outcome:
        del self._open[host]
        return Outcome(host=host, state=state, message=bounded(message), fence=self._fences.get(host), **facts)


assert set(get_args(HostState)) >= LOOKED


def _message(result: dict[str, Any]) -> str:
    parts = [str(result[key]) for key in ("msg", "reason", "module_stdout", "module_stderr") if result.get(key)]
    return bounded(": ".join(part.strip() for part in parts))


def _ssh_words(message: str) -> str:
    """ssh's last line, which names the cause; the TaskEvent has the rest (a changed host key fills half a screen)."""
    lines = [line.strip() for line in message.rpartition("over ssh: ")[2].splitlines() if line.strip()]
    return lines[-1] if lines else "ssh said nothing"


def _evidence(value: Any) -> dict[str, Any] | None:
    """What the host said of itself, unless it is too large to be true."""
    if not isinstance(value, dict) or len(repr(value)) > EVIDENCE_LIMIT:
        return None
    return value


def _moment(event: Event, data: Event) -> datetime:
    text = event.get("created") or data.get("end") or data.get("start")
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return datetime.now(UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
