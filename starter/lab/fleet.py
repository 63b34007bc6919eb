"""The practice fleet: real Debian hosts on one machine, to patch, break and kill as one never could with servers."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from starter.lab import answers, cgroup, image, inventory, machine, network
from starter.lab.errors import LabError
from starter.lab.host import Host
from starter.lab.packages import HELD_MARKER, HOLD_DIR, HOLD_POINTS, PACKAGE
from starter.lab.plan import FleetPlan
from starter.lab.shell import QUIET_SECONDS, Say, sh, silent

ANSWER_SECONDS, ANSWER_SECONDS_PER_HOST = 60.0, 1.0
REBOOT_SECONDS = 60.0
AT_ONCE = 8  # host starts mostly wait for the kernel; more at once only contend for the two cores

State = Literal["running", "dead", "unreachable"]
T = TypeVar("T")


@dataclass(frozen=True)
class HostStatus:
    """What a look at one host shows; `version` is None while the host is off, `held` names the hold it waits at."""

    name: str
    address: str
    state: State
    version: str | None
    held: str | None


class Fleet:
    """Fleet `number` (0..254) with its files below `data`/lab; every method raises LabError with the mend in it.

    The hosts outlive the process that brought them up; another process finds them by the same number and directory.
    """

    def __init__(self, number: int, data: Path) -> None:
        self.plan = FleetPlan(number)
        self.home = data.absolute() / "lab"
        self.private_key = self.home / "id_ed25519"
        self._claim = machine.RUNTIME / f"fleet-{number}"

    def up(self, hosts: int, say: Say = silent) -> None:
        """Makes hosts 1..`hosts` answer, and those there already: starts the missing, heals the dead, mends the cut.

        Returns when sshd and /health answer on each. Idempotent; never removes a host.
        """
        self.plan.host(hosts)
        machine.require_root()
        with self._alone(say) as lock:
            machine.require_tools(say)
            machine.require_overlay(self.home)
            base = image.ensure(say)
            started = time.monotonic()
            for index in self._seen() - self._recorded():
                self._host(index).remove()  # a left-over of a fleet whose files are gone
            fleet = [self._host(index) for index in sorted(self._recorded() | set(range(1, hosts + 1)))]
            if not self.private_key.with_suffix(".pub").exists():
                self.private_key.unlink(missing_ok=True)
                comment = f"practice fleet {self.plan.number}"
                sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(self.private_key))
            machine.want_inotify(self.plan.number, len(fleet))
            network.bridge_up(self.plan)
            dead = [host for host in fleet if not host.alive()]
            if dead:
                say(f"starting {len(dead)} of {len(fleet)} hosts of fleet {self.plan.number}")
            _each(lambda host: host.start(base, lock), dead, say, "started")
            for host in fleet:
                network.mend(host.plan)
            answers.wait_until_answering(fleet, ANSWER_SECONDS + ANSWER_SECONDS_PER_HOST * len(fleet), say)
            say(f"{len(fleet)} hosts answer ({time.monotonic() - started:.1f} s)")

    def down(self, say: Say = silent) -> None:
        """Removes the fleet without a trace; the base image stays for the next one. Nothing to remove is no error."""
        machine.require_root()
        with self._alone(say):
            fleet = [self._host(index) for index in sorted(self._seen() | self._recorded())]
            if fleet:
                say(f"removing {len(fleet)} hosts of fleet {self.plan.number}")
            _each(Host.remove, fleet, say, "removed")
            network.bridge_down(self.plan)
            machine.want_inotify(self.plan.number, 0)
            self._remove_files()
            self._claim.unlink(missing_ok=True)
        machine.forget_runtime()

    def status(self) -> list[HostStatus]:
        """What each host is and has, in order of index; a cut or booting host is "unreachable"."""
        machine.require_root()
        return _each(self._look, self.hosts())

    def hosts(self) -> list[Host]:
        """The hosts that there are, in order of index, whatever their state."""
        return [self._host(index) for index in sorted(self._recorded())]

    def reset(self, index: int, say: Say = silent) -> None:
        """Gives the host a fresh disk (vulnerable again, no holds) and boots it; address and host key stay."""
        host = self._known(index)
        with self._alone(say) as lock:
            base = image.ensure(say)
            host.power_off()
            host.wipe()
            host.start(base, lock)
            answers.wait_until_answering([host], ANSWER_SECONDS, say)

    def power_off(self, index: int) -> None:
        """Ends the host as a power cut does; `up` boots it again over the same disk."""
        self._known(index).power_off()

    def reboot(self, index: int, say: Say = silent) -> None:
        """Reboots the host from inside and returns when it answers again."""
        host = self._known(index)
        before = host.init_pid()
        host.run(["systemctl", "reboot"], check=False, timeout=30)  # may well be cut off by its own success
        deadline = time.monotonic() + REBOOT_SECONDS
        while cgroup.init_pid(host.plan.cgroup) in (before, None):
            if time.monotonic() > deadline or not host.alive():
                raise LabError(f"{host.name} did not come back from its reboot: {host.last_words()}")
            time.sleep(0.05)
        answers.wait_until_answering([host], REBOOT_SECONDS, say)

    def cut(self, index: int) -> None:
        """Cuts the host off the network; it runs on."""
        network.cut(self._known(index).plan)

    def mend(self, index: int) -> None:
        """Ends a `cut`."""
        network.mend(self._known(index).plan)

    def run(
        self, index: int, argv: Sequence[str], check: bool = True, timeout: float | None = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command as root inside the host, also while it is cut; LabError on failure or after `timeout` s."""
        return self._known(index).run(argv, check=check, timeout=timeout)

    def hold(self, index: int, point: str) -> None:
        """Makes the host wait whenever it next comes to `point`: "unpacked", "installed" or "restarted"."""
        try:
            self._hold_file(index, point).touch()
        except OSError as error:
            raise LabError(f"{self.plan.host(index).name} cannot be held ({error}): is {PACKAGE} installed?") from error

    def release(self, index: int, point: str) -> None:
        """Lets the host go on from `point`, and not wait there again."""
        self._hold_file(index, point).unlink(missing_ok=True)

    def held(self, index: int) -> str | None:
        """The point at which the host waits right now; None when it waits nowhere, or is off."""
        host = self._known(index)
        try:
            point, pid = host.path(HELD_MARKER).read_text().split()
            # The waiting process may have been killed, which is what crash tests do: then its marker is stale.
            return point if host.path(f"proc/{pid}").exists() else None
        except (LabError, OSError, ValueError):
            return None

    def assets(self) -> dict[str, Any]:
        """The fleet in the asset import format."""
        keys = {host.plan.index: host.host_key for host in self.hosts()}
        return inventory.assets(self.plan, keys, self.private_key)

    def patches(self) -> dict[str, Any]:
        """The two practice patches in the patch import format: acme-healthd 1.0.1 (good) and 1.0.2 (bad)."""
        return inventory.patches()

    def _look(self, host: Host) -> HostStatus:
        state: State = "dead"
        if host.alive():
            state = "running" if answers.ssh_answers(host.plan.address) else "unreachable"
        version = host.version() if state != "dead" else None
        return HostStatus(host.name, host.plan.address, state, version, self.held(host.plan.index))

    def _host(self, index: int) -> Host:
        return Host(self.plan, index, self.home / "hosts", self.private_key.with_suffix(".pub"))

    def _known(self, index: int) -> Host:
        machine.require_root()
        host = self._host(index)
        if not host.home.exists():
            raise LabError(f"there is no {host.name} in {self.home}: bring up a fleet of at least {index} hosts")
        return host

    def _hold_file(self, index: int, point: str) -> Path:
        if point not in HOLD_POINTS:
            raise LabError(f"there is no hold point {point!r}: choose one of {', '.join(HOLD_POINTS)}")
        return self._known(index).path(f"{HOLD_DIR}/hold-{point}")

    def _remove_files(self) -> None:
        # Only what a fleet writes: the data directory is the caller's, and its lab/ may hold files of theirs.
        for key in (self.private_key, self.private_key.with_suffix(".pub")):
            key.unlink(missing_ok=True)
        for directory in (self.home / "hosts", self.home):
            with contextlib.suppress(OSError):
                directory.rmdir()

    def _recorded(self) -> set[int]:
        names = (path.name[1:] for path in (self.home / "hosts").glob("h*"))
        return {int(name) for name in names if name.isdigit()}

    def _seen(self) -> set[int]:
        """The hosts that the kernel shows, be there a record of them or not."""
        names = (path.name for tree in cgroup.hierarchies() for path in tree.glob("vulnzero-lab*"))
        return network.hosts_seen(self.plan) | {index for name in names if (index := self.plan.index_of(name))}

    @contextlib.contextmanager
    def _alone(self, say: Say) -> Iterator[int]:
        """One process at a time changes a fleet number, and only for the data directory that holds it.

        The claim file is the lock and names that directory; a claim whose directory is gone is void.
        """
        with machine.locked(self._claim, say, f"changes practice fleet {self.plan.number}") as lock:
            owner = self._claim.read_text().strip()
            if owner and owner != str(self.home) and Path(owner).exists():
                raise LabError(
                    f"practice fleet {self.plan.number} belongs to {owner}: choose another number, or end it there"
                )
            self._claim.write_text(f"{self.home}\n")
            yield lock


def _each(work: Callable[[Host], T], hosts: Iterable[Host], say: Say = silent, done_word: str = "done") -> list[T]:
    """The work's results in the hosts' order; all are tried, then the first error is raised. Says every 4 s how far."""
    started = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = [pool.submit(work, host) for host in hosts]
        while pending := wait(futures, timeout=QUIET_SECONDS).not_done:
            gone = time.monotonic() - started
            say(f"{len(futures) - len(pending)} of {len(futures)} hosts {done_word} ({gone:.0f} s)")
    return [future.result() for future in futures]
