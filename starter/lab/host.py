"""One practice host: its files, its keeper process, and the ways to look into it without its network."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from starter.lab import cgroup, network
from starter.lab.errors import LabError
from starter.lab.image import Image
from starter.lab.machine import replace
from starter.lab.packages import PACKAGE
from starter.lab.plan import FleetPlan, HostPlan
from starter.lab.shell import sh

KEEPER = Path(__file__).with_name("keeper.sh")
NSPAWN_RUNTIME = Path("/run/systemd/nspawn")
KEEPER_SECONDS = 10.0
INSIDE_ENV = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LANG=C.UTF-8",
    "DEBIAN_FRONTEND=noninteractive",
)


class Host:
    """Host `index` of a fleet, with its files in `home`; the files outlive the process that made them."""

    def __init__(self, fleet: FleetPlan, index: int, hosts_dir: Path, authorized_key: Path) -> None:
        self.fleet = fleet
        self.plan: HostPlan = fleet.host(index)
        self.home = hosts_dir / f"h{index}"
        self._authorized_key = authorized_key

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def log(self) -> Path:
        return self.home / "log"

    @property
    def host_key(self) -> str:
        """The public host key, "ssh-ed25519 AAAA..."; the same through every reboot and reset."""
        try:
            return " ".join((self.home / "host_key.pub").read_text().split()[:2])
        except FileNotFoundError as missing:
            raise LabError(f"{self.name} has no host key yet: bring the fleet up") from missing

    def keeper_pid(self) -> int | None:
        """The keeper that this host's record names, if it still is that process; None when it is gone."""
        try:
            pid, started = (self.home / "keeper").read_text().split()
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            groups = Path(f"/proc/{pid}/cgroup").read_text()
        except (OSError, ValueError):
            return None
        # The number alone could be a stranger's by now: a kill would end somebody else's program.
        same = stat[0] not in "ZX" and stat[19] == started and self.plan.cgroup in groups
        return int(pid) if same else None

    def alive(self) -> bool:
        """Whether it is running or rebooting. A host without its keeper counts as dead: it could not reboot."""
        return self.keeper_pid() is not None

    def start(self, image: Image, lock: int) -> None:
        """Boots the host over the disk it has, or over a fresh one; returns as soon as its keeper runs.

        `lock` is the descriptor of the fleet's lock; the keeper holds it too until it has written its own record.
        """
        self.power_off()
        self._prepare_disk(image)
        network.host_up(self.fleet, self.plan)
        base = Image(Path((self.home / "image").read_text()))
        arguments = [str(self.home), self.name, str(base.rootfs), str(base.repo), self.plan.netns]
        cgroups = [str(directory) for directory in cgroup.directories(self.plan.cgroup)]
        # Slave, not private: a private copy of every mount would pin other fleets' network namespaces after their end.
        namespace = ["setsid", "--fork", "unshare", "--mount", "--propagation", "slave"]
        with self.log.open("ab") as log:
            subprocess.run(
                [*namespace, "sh", str(KEEPER), *arguments, *cgroups],
                stdin=lock,
                stdout=log,
                stderr=log,
                check=True,
                cwd="/",
            )
        deadline = time.monotonic() + KEEPER_SECONDS
        while not (self.home / "keeper").exists():
            if time.monotonic() > deadline:
                raise LabError(f"{self.name} did not start: {self.last_words()}")
            time.sleep(0.01)

    def _prepare_disk(self, image: Image) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "root").mkdir(exist_ok=True)
        if not (self.home / "host_key.pub").exists():
            (self.home / "host_key").unlink(missing_ok=True)
            sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", str(self.home / "host_key"))
        made_over = self.home / "image"
        # A disk over another base than it was made for is nonsense to the kernel and to dpkg.
        if made_over.exists() and Path(made_over.read_text()).exists() and (self.home / "upper").exists():
            return
        self.wipe()
        upper = self.home / "upper"
        for name, mode in (("", 0o755), ("etc", 0o755), ("etc/ssh", 0o755), ("root", 0o700), ("root/.ssh", 0o700)):
            (upper / name).mkdir()
            (upper / name).chmod(mode)
        (self.home / "work").mkdir()
        replace(upper / "etc/ssh/ssh_host_ed25519_key", (self.home / "host_key").read_text(), 0o600)
        replace(upper / "etc/ssh/ssh_host_ed25519_key.pub", (self.home / "host_key.pub").read_text())
        replace(upper / "root/.ssh/authorized_keys", self._authorized_key.read_text(), 0o600)
        replace(upper / "etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n")
        replace(upper / "etc/machine-id", uuid.uuid4().hex + "\n", 0o444)
        replace(made_over, str(image.home))  # last: without it the next start makes the disk again

    def wipe(self) -> None:
        """Removes the disk of a host that is off; the host key stays."""
        (self.home / "image").unlink(missing_ok=True)
        for part in ("upper", "work"):
            shutil.rmtree(self.home / part, ignore_errors=True)

    def power_off(self) -> None:
        """Ends every process of the host at once, as a power cut does; its disk stays."""
        keeper = self.keeper_pid()
        if keeper is not None:  # first, or it would start the host again
            with contextlib.suppress(ProcessLookupError):
                os.kill(keeper, signal.SIGKILL)
        cgroup.kill(self.plan.cgroup)
        (self.home / "keeper").unlink(missing_ok=True)
        for left in NSPAWN_RUNTIME.glob(f"*/{self.name}"):  # nspawn removes it itself only when it ends in peace
            with contextlib.suppress(OSError):
                left.rmdir()

    def remove(self) -> None:
        """Removes the host without a trace: processes, cgroups, network, files."""
        self.power_off()
        network.host_down(self.plan)
        if self.home.exists():
            shutil.rmtree(self.home)

    def init_pid(self) -> int:
        """The host's PID 1 as this machine numbers it; LabError while it does not run."""
        pid = cgroup.init_pid(self.plan.cgroup)
        if pid is None:
            raise LabError(f"{self.name} is not running: bring the fleet up")
        return pid

    def path(self, inside: str) -> Path:
        """A file of the running host as this machine sees it; `inside` has no leading slash."""
        return Path(f"/proc/{self.init_pid()}/root") / inside

    def run(self, argv: Sequence[str], *, check: bool, timeout: float | None) -> subprocess.CompletedProcess[str]:
        """Runs `argv` as root inside the host, by its namespaces and not by its network.

        LabError on a failure (with `check`) or after `timeout` seconds; then nothing of it runs on.
        """
        enter = ["nsenter", "-t", str(self.init_pid()), "-m", "-u", "-i", "-n", "-p", "--", "env", "-i", *INSIDE_ENV]
        process = subprocess.Popen(
            [*enter, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
            cwd="/",
        )
        with process:
            try:
                out, err = process.communicate(timeout=timeout)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)  # the group: nsenter alone would leave its child behind
                process.communicate()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise LabError(f"{self.name}: {' '.join(argv)[:120]} took over {timeout} s") from error
                raise
        if check and process.returncode != 0:
            words = (err or out).strip().splitlines()[-3:]
            raise LabError(f"{self.name}: {' '.join(argv)[:120]} ended with {process.returncode}: {' / '.join(words)}")
        return subprocess.CompletedProcess(list(argv), process.returncode, out, err)

    def version(self) -> str | None:
        """The version of acme-healthd that dpkg has on record, half installed or not; None when off or removed."""
        try:
            found = self.run(["dpkg-query", "-W", "-f", "${Version}", PACKAGE], check=False, timeout=10)
        except LabError:
            return None
        return found.stdout.strip() or None

    def last_words(self) -> str:
        """The end of the keeper's log, for an error text."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return f"{' / '.join(line.strip() for line in lines[-2:]) or 'no output'} (all of it: {self.log})"
