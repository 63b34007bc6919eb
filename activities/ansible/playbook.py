"""Job -> the play. Pure, and nearly constant: what differs from host to host comes from the inventory.

No `serial`, no `max_fail_percentage`: whether a host may start is the worker's answer to its claim, and nothing
else decides it.
"""

from typing import Any

from activities.ansible.job import Job

CLAIM = "claim"
PATCH = "patch"


def playbook(job: Job) -> list[dict[str, Any]]:
    """The playbook, for `json.dumps` (JSON is YAML)."""
    play = {
        "name": f"batch {job.batch}",
        "hosts": "all",
        # Under `linear` every healthy host would wait for the slowest at each task.
        "strategy": "host_pinned",
        "gather_facts": False,
        "tasks": [
            {
                "name": CLAIM,
                "vulnzero_claim": {
                    "host": "{{ vulnzero_claim.host }}",
                    "socket": "{{ vulnzero_claim.socket }}",
                    "mark": "{{ vulnzero_claim.mark }}",
                },
                "become": False,
                "register": "vulnzero_claimed",
            },
            {
                "name": PATCH,
                "vulnzero_patch": {
                    **{
                        name: f"{{{{ vulnzero_patch.{name} }}}}"
                        for name in (
                            "package",
                            "version",
                            "service",
                            "probe",
                            "deployment",
                            "attempt",
                            "kind",
                            "mode",
                            "lock_wait",
                        )
                    },
                    "fence": "{{ vulnzero_claimed.fence }}",
                },
                "when": "vulnzero_claimed.granted",
                "timeout": job.host_timeout,
            },
        ],
    }
    return [play]
