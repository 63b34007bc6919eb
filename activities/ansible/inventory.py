"""Job -> what Ansible reads about hosts: the inventory and the known hosts. Pure.

Ansible trusts an inventory as templates: a version of `{{ lookup('pipe', ...) }}` would run on the worker. Every
string goes in marked as data, whatever the models already refused.
"""

import shlex
from typing import Any

from activities.ansible.job import Job, JobHost
from activities.ansible.marks import FileMarks

AGENT = "agent"


def unsafe(value: Any) -> Any:
    """`value` with every string in it marked as data, in the JSON form that Ansible's loader knows."""
    if isinstance(value, str):
        return {"__ansible_unsafe": value}
    if isinstance(value, dict):
        return {key: unsafe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [unsafe(item) for item in value]
    return value


def ssh_options(host: JobHost, marks: FileMarks) -> str:
    """Options of one host's ssh, as one shell-quoted string."""
    options = [f"HostKeyAlias={host.name}", f"LocalCommand={marks.local_command(host.name)}"]
    if host.credential == AGENT:
        options.append("IdentitiesOnly=no")
    else:
        # A key that is lying in an agent must not open what this host's own key does not.
        options += ["IdentitiesOnly=yes", "IdentityAgent=none"]
    return shlex.join(word for option in options for word in ("-o", option))


def host_variables(job: Job, host: JobHost, marks: FileMarks) -> dict[str, Any]:
    variables: dict[str, Any] = {
        "ansible_connection": "ssh",
        "ansible_host": host.address,
        "ansible_port": host.port,
        "ansible_user": host.user,
        "ansible_become": host.become,
        "ansible_ssh_extra_args": ssh_options(host, marks),
        # Fixed: discovery would cost a round trip on every host.
        "ansible_python_interpreter": "/usr/bin/python3",
        "vulnzero_claim": {
            "host": host.name,
            "socket": job.claim_socket,
            "mark": str(marks.asked_path(host.name)),
        },
        "vulnzero_patch": {
            "package": host.package,
            "version": host.version,
            "service": host.service,
            "probe": host.probe.model_dump() if host.probe else None,
            "deployment": job.deployment,
            "attempt": job.attempt,
            "kind": job.kind,
            "mode": job.mode,
            # Half: a run that gets the lock at the very end of its time would only be cut in the middle.
            "lock_wait": max(1, job.host_timeout // 2),
        },
    }
    if host.credential != AGENT:
        variables["ansible_ssh_private_key_file"] = host.credential.removeprefix("file:")
    return variables


def inventory(job: Job, marks: FileMarks) -> dict[str, Any]:
    """The whole inventory, for `json.dumps`."""
    hosts = {host.name: unsafe(host_variables(job, host, marks)) for host in job.hosts}
    return {"all": {"hosts": hosts}}


def known_hosts(job: Job) -> str:
    """One pinned key a host, under its alias: an address that changes hands does not bring its key along."""
    return "".join(f"{host.name} {host.host_key}\n" for host in job.hosts)
