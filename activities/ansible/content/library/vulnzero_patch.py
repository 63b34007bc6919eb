#!/usr/bin/python
"""Patches one package on this host: fenced, recorded, safe to run again. Stdlib and AnsibleModule only."""

DOCUMENTATION = r"""
module: vulnzero_patch
short_description: Bring one package to one exact version, restart its service, probe it
description:
  - Holds a lock on the host for its whole run and refuses a fence number older than the highest that was seen.
  - Records what the host was before the first change and how the run ended; an ended run is answered from its record.
options:
  package: {type: str, required: true, description: "Name of the package."}
  version: {type: str, description: "Exact version that the host shall end at; a rollback takes the recorded one."}
  service: {type: str, description: "systemd unit that has to run the new version."}
  probe: {type: dict, description: "type http, port, path, timeout (seconds), status."}
  deployment: {type: int, required: true, description: "Deployment that asks."}
  attempt: {type: int, required: true, description: "Attempt of that deployment."}
  kind: {type: str, choices: [patch, rollback], default: patch, description: "Which of the two records it is."}
  mode: {type: str, choices: [apply, look], default: apply, description: "look reports and changes nothing."}
  fence: {type: int, required: true, description: "Number of the claim."}
  lock_wait: {type: int, default: 60, description: "Seconds to wait for another run on this host."}
  state_dir: {type: path, default: /var/lib/vulnzero, description: "Lock, journal and records."}
author: VulnZero
"""

import os
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.vulnzero_apt import Apt, PackageError
from ansible.module_utils.vulnzero_health import HttpProbe, Service
from ansible.module_utils.vulnzero_state import Busy, Fenced, State


class Failed(Exception):
    """The patch did not do its work; the text is the sentence for the operator."""


def differs(one, other):
    """Whether something was done between two evidences: another version or status, or a service started anew."""
    starts = [(evidence["service"] or {}).get("started") for evidence in (one, other)]
    if any(one[key] != other[key] for key in ("version", "status")) or (None in starts and starts[0] != starts[1]):
        return True
    # Counted back from two clocks, the same start differs by microseconds.
    return None not in starts and abs(starts[0] - starts[1]) > 0.01


class Patch:
    """One run on this host, with the lock in hand."""

    def __init__(self, module, state):
        self.module, self.state, p = module, state, module.params
        self.package, self.version = p["package"], p["version"] or (state.before() or {}).get("version")
        self.packages = Apt(module, state.lock_fd)
        self.service = Service(module, p["service"]) if p["service"] else None
        self.probe = HttpProbe(p["probe"]) if p["probe"] else None

    def evidence(self):
        """What the host is now: the shape of `before` and `after`."""
        now = self.packages.ask(self.package)
        return {
            "package": self.package,
            "version": now["version"],
            "status": now["status"],
            "service": self.service.evidence() if self.service else None,
            "reboot_required": os.path.exists("/run/reboot-required"),
            "at": time.time(),
        }

    def installed(self):
        now = self.packages.ask(self.package)
        return now["version"] == self.version and now["status"] == "installed"

    def restarted(self):
        """The service runs what is on disk: the version alone would pass a host that was killed before its restart."""
        if self.service is None:
            return True
        arch = self.packages.ask(self.package)["arch"]
        return self.service.started_since(self.packages.unpacked_at(self.package, arch))

    def finished(self):
        return self.installed() and self.restarted() and (self.probe is None or self.probe.once())

    def missing(self, now):
        """What keeps this host from being finished, for people."""
        if not self.installed():
            return "{} is {} ({}), wanted {}".format(self.package, now["version"], now["status"], self.version)
        if not self.restarted():
            return f"service {self.service.name} was not restarted since the install"
        return f"{self.probe.url} does not answer as it should"

    def refuse(self):
        """Reasons not to begin, before anything was touched."""
        now = self.packages.ask(self.package)
        if now["want"] == "hold" and now["version"] != self.version:
            text = "package %s is on hold at %s: release it with 'apt-mark unhold %s'"
            raise Failed(text % (self.package, now["version"], self.package))
        if self.service and now["version"] and not self.service.exists():
            raise Failed(f"service {self.service.name} does not exist on this host")

    def apply(self):
        """Every step looks whether it is still needed, so that a run after a kill goes on where that one ended."""
        if self.packages.interrupted(self.packages.ask(self.package)["status"]):
            self.packages.configure()
        if not self.installed():
            self.packages.install(self.package, self.version)
            now = self.packages.ask(self.package)
            if (now["version"], now["status"]) != (self.version, "installed"):
                text = "package %s is %s (%s) after the install, not %s"
                raise Failed(text % (self.package, now["version"], now["status"], self.version))
        if not self.restarted():
            self.service.restart()
            if not self.restarted():
                raise Failed(f"service {self.service.name} is {self.service.state()} after its restart")
        if self.probe:
            trouble = self.probe.wait()
            if trouble:
                raise Failed(trouble)
        if not self.restarted():
            raise Failed(f"service {self.service.name} did not stay up: it is {self.service.state()}")

    def run(self):
        """-> the record of this run: state, message, before, after, changed, resumed."""
        earlier = self.state.before()
        rollback = self.module.params["kind"] == "rollback"
        if rollback and earlier is None:
            return self.skipped("this deployment changed nothing on this host")
        if rollback and not self.version:
            text = f"{self.package} was not installed before: there is no version to go back to"
            return self.ended("FAILED", text, earlier, self.evidence(), changed=False, resumed=False)
        if rollback:
            left, now = self.state.left_by_patch(), self.packages.ask(self.package)["version"]
            if left and now not in (left, self.version):
                text = f"version is {now}, this deployment left {left}: left alone"
                return self.skipped(text, superseded=True)
        if earlier is None and self.finished():
            return self.skipped("already finished before this deployment")
        try:
            self.refuse()
        except Failed as error:
            return self.ended("FAILED", str(error), earlier, self.evidence(), changed=False, resumed=False)
        now = self.evidence()
        before = self.state.keep_before(now)
        self.state.start()
        try:
            self.apply()
            state, message = "SUCCEEDED", f"{self.package} is at {self.version}"
        except (Failed, PackageError) as error:
            state, message = "FAILED", str(error)
        after = self.evidence()
        # Against both: a run that goes on after a kill may have little to do, and yet the host is not what it was.
        changed = differs(before, after) or differs(now, after)
        resumed = earlier is not None and not rollback
        return self.ended(state, message, before, after, changed=changed, resumed=resumed)

    def skipped(self, message, superseded=False):
        now = self.evidence()
        record = self.ended("SKIPPED", message, None, now, changed=False, resumed=False)
        record["superseded"] = superseded
        return record

    @staticmethod
    def ended(state, message, before, after, changed, resumed):
        return {
            "state": state,
            "msg": message,
            "before": before,
            "after": after,
            "changed": changed,
            "resumed": resumed,
        }

    def look(self):
        """What became of this deployment here, from the record or else from evidence; changes nothing."""
        record, before = self.state.record(), self.state.before()
        if record:
            return dict(record, replayed=True)
        now = self.evidence()
        if before is None:
            state, text = "NOTHING_CHANGED", "this deployment changed nothing here"
        elif self.finished():
            state, text = "SUCCEEDED", "no record, yet the host is finished"
        else:
            state, text = "PARTIAL", "begun and not finished: " + self.missing(now)
        changed = before is not None and differs(before, now)
        return self.ended(state, text, before, now, changed=changed, resumed=False)


def check(module, state):
    """--check: says what would be done, without lock, fence or record."""
    patch, steps = Patch(module, state), []
    if not patch.installed():
        steps.append(
            "install {}={} (now {})".format(patch.package, patch.version, patch.packages.ask(patch.package)["version"])
        )
    if steps or not patch.restarted():
        steps.append(f"restart {patch.service.name}" if patch.service else "restart nothing")
    if patch.probe:
        steps.append(f"probe {patch.probe.url}")
    wanted = not patch.finished()
    module.exit_json(changed=wanted, msg="would " + ", ".join(steps) if wanted else "already finished")


def answer(module, record):
    """A failure is a failed task, so that Ansible's own view of the host agrees with ours."""
    (module.fail_json if record["state"] == "FAILED" and module.params["mode"] == "apply" else module.exit_json)(
        **record
    )


def main():
    module = AnsibleModule(
        argument_spec={
            "package": {"type": "str", "required": True},
            "version": {"type": "str"},
            "service": {"type": "str"},
            "probe": {"type": "dict"},
            "deployment": {"type": "int", "required": True},
            "attempt": {"type": "int", "required": True},
            "kind": {"type": "str", "choices": ["patch", "rollback"], "default": "patch"},
            "mode": {"type": "str", "choices": ["apply", "look"], "default": "apply"},
            "fence": {"type": "int", "required": True},
            "lock_wait": {"type": "int", "default": 60},
            "state_dir": {"type": "path", "default": "/var/lib/vulnzero"},
        },
        required_if=[("kind", "patch", ["version"])],
        supports_check_mode=True,
    )
    if not Apt.present(module):
        module.fail_json(msg="this platform has no apt-get: only Debian and Ubuntu are supported", state="FAILED")
    p = module.params
    state = State(p["state_dir"], p["fence"], p["deployment"], p["attempt"], p["kind"])
    if module.check_mode:
        check(module, state)
    try:
        state.enter(p["lock_wait"])
    except Busy:
        module.fail_json(msg=f"another run held this host's lock for {p['lock_wait']} s", busy=True)
    except Fenced as error:
        module.fail_json(
            msg=f"fence {p['fence']} is older than {error.seen}: a newer attempt has this host",
            fenced=True,
            seen=error.seen,
        )
    except OSError as error:
        # Nothing was touched yet, and without a record nothing may be.
        text = f"this host cannot keep its records in {p['state_dir']}: {error.strerror}"
        module.fail_json(msg=text, state="FAILED", changed=False)
    patch = Patch(module, state)
    if p["mode"] == "look":
        state.journal("LOOK")
        answer(module, patch.look())
    record = state.answers()
    if record:
        state.journal("REPLAY")
        answer(module, dict(record, replayed=True))
    record = patch.run()
    state.finish(record)
    answer(module, record)


if __name__ == "__main__":
    main()
