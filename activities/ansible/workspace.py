"""Lays out the private directory of one batch, the way ansible_runner wants it.

All values go through files: dictionaries that are given to ansible_runner would land on a command line, where `ps`
shows them, and its `suppress_env_files` silently drops the settings (and with them every timeout).
"""

import json
import os
import shlex
import sys
from pathlib import Path

from activities.ansible.inventory import AGENT, inventory, known_hosts
from activities.ansible.job import Job
from activities.ansible.marks import FileMarks
from activities.ansible.playbook import playbook

CONTENT = Path(__file__).parent / "content"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# How often ansible_runner looks whether it was cancelled (seconds); output is handled when it comes.
POLL = 0.2

# Ansible's settings that are the same for every batch.
SETTLED = {
    "PATH": f"{Path(sys.executable).parent}:{SYSTEM_PATH}",
    "SHELL": "/bin/sh",  # runs ssh's LocalCommand
    "LC_ALL": "C.UTF-8",
    "ANSIBLE_CONFIG": str(CONTENT / "ansible.cfg"),
    "ANSIBLE_LIBRARY": str(CONTENT / "library"),
    "ANSIBLE_MODULE_UTILS": str(CONTENT / "module_utils"),
    "ANSIBLE_ACTION_PLUGINS": str(CONTENT / "action"),
    "ANSIBLE_INVENTORY_ENABLED": "yaml",
    "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
    # ansible_runner's default is False.
    "ANSIBLE_HOST_KEY_CHECKING": "True",
    "ANSIBLE_PIPELINING": "True",
    # A retry by itself would run the module a second time under one claim.
    "ANSIBLE_SSH_RETRIES": "0",
    "ANSIBLE_RETRY_FILES_ENABLED": "False",
    "ANSIBLE_NOCOLOR": "True",
    "ANSIBLE_LOCALHOST_WARNING": "False",
    "ANSIBLE_DEPRECATION_WARNINGS": "False",
    "PYTHONDONTWRITEBYTECODE": "1",
}


class Workspace:
    """`write` fills the directory; the paths are what the supervisor needs afterwards."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.root = Path(job.directory)
        self.marks = FileMarks(self.root / "marks")
        self.known_hosts = self.root / "known_hosts"

    def write(self) -> None:
        for name in ("inventory", "project", "env", "tmp", "home"):
            (self.root / name).mkdir(mode=0o700)
        self.marks.prepare([host.name for host in self.job.hosts])
        self._put("known_hosts", known_hosts(self.job))
        self._put("inventory/hosts.json", json.dumps(inventory(self.job, self.marks)))
        self._put("project/play.yml", json.dumps(playbook(self.job)))
        self._put("env/envvars", json.dumps(self.environment()))
        self._put("env/settings", json.dumps(self.settings()))

    def _put(self, name: str, text: str) -> None:
        path = self.root / name
        path.touch(mode=0o600)
        path.write_text(text)

    @staticmethod
    def settings() -> dict[str, object]:
        # No idle or job timeout: a host may wait for its claim as long as a person's pause lasts. What bounds a host
        # is the task's own timeout.
        return {"pexpect_timeout": POLL, "pexpect_use_poll": True, "suppress_ansible_output": True}

    def ssh_args(self) -> str:
        """ssh options of every host. No configuration of the machine or the user: it could send us elsewhere."""
        options = [
            "StrictHostKeyChecking=yes",
            f'UserKnownHostsFile="{self.known_hosts}"',
            "GlobalKnownHostsFile=/dev/null",
            "UpdateHostKeys=no",
            "BatchMode=yes",
            "ConnectTimeout=10",
            # Without these a host that vanishes holds its run for ten minutes.
            "ServerAliveInterval=5",
            "ServerAliveCountMax=3",
            # One module a host: a kept connection gains nothing, and a dead host behind a live master hangs.
            "ControlMaster=no",
            "ControlPath=none",
            "PermitLocalCommand=yes",
        ]
        return shlex.join(["-F", "/dev/null", *(word for option in options for word in ("-o", option))])

    def environment(self) -> dict[str, str]:
        """All that Ansible sees of an environment: nothing of the worker's, which may hold secrets.

        Where Ansible was imported before this batch was known, it has read `SETTLED` already; what is set here must be
        read later than at import (`forked` says which one is not).
        """
        environment = SETTLED | {
            "HOME": str(self.root / "home"),
            "ANSIBLE_HOME": str(self.root / "home"),
            "ANSIBLE_LOCAL_TEMP": str(self.root / "tmp"),
            "ANSIBLE_FORKS": str(self.job.forks),
            "ANSIBLE_SSH_ARGS": self.ssh_args(),
        }
        agent = os.environ.get("SSH_AUTH_SOCK")
        if agent and any(host.credential == AGENT for host in self.job.hosts):
            environment["SSH_AUTH_SOCK"] = agent
        return environment
