"""Records what Ansible really said, for a new file in cases/: `patch(hosts, launch=recording)`, then `events_of(job)`.

As a module of its own it is the supervisor of such a run.
"""

import functools
import json
from pathlib import Path
from typing import Any

from activities.ansible import supervisor
from activities.ansible.job import Job
from activities.ansible.launching import cold

KEPT = ("host", "task", "duration", "res")


def events_of(job: Job) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _file(job).read_text().splitlines()]


def _file(job: Job) -> Path:
    return Path(f"/tmp/vz-events-{job.deployment}-{job.attempt}-{job.mode}")


def trimmed(event: dict[str, Any]) -> dict[str, Any]:
    """Only what decides: the rest differs from run to run, or repeats what the job said."""
    data = {name: value for name, value in (event.get("event_data") or {}).items() if name in KEPT}
    if isinstance(data.get("res"), dict):
        data["res"] = {name: value for name, value in data["res"].items() if name[0] != "_" and name != "invocation"}
    return {"event": event["event"], "created": event["created"], "event_data": data}


recording = functools.partial(cold, "tests.activities.ansible.record")


class RecordingSupervisor(supervisor.Supervisor):
    def _event(self, event: dict[str, Any]) -> bool:
        if event["event"] != "verbose":
            with _file(self._job).open("a") as file:
                file.write(json.dumps(trimmed(event)) + "\n")
        return super()._event(event)


if __name__ == "__main__":
    supervisor.Supervisor = RecordingSupervisor  # type: ignore[misc]
    supervisor.main()
