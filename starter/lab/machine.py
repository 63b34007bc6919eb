"""What the machine must offer before a fleet can stand on it, and what all its fleets share."""

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from starter.lab.errors import LabError
from starter.lab.shell import QUIET_SECONDS, Say, sh_saying, silent

SHARED = Path("/var/lib/vulnzero/lab")  # base images, kept from fleet to fleet
RUNTIME = Path("/run/vulnzero/lab")  # who uses which number, and the sysctl to give back; empty after a reboot
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_PER_HOST = 8

TOOLS = {  # command -> the Debian package that brings it
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "ssh-keygen": "openssh-client",
    "nsenter": "util-linux",
    "dpkg-deb": "dpkg",
}
DEBIAN_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")  # missing on Ubuntu: no Debian base without it


def require_root() -> None:
    """LabError for anyone but root: namespaces, mounts and bridges are root's to make."""
    if os.geteuid() != 0:
        raise LabError("the practice fleet needs root (it makes mounts, network namespaces and a bridge): use sudo")


def require_tools(say: Say) -> None:
    """Installs the Debian packages that are missing; LabError where apt cannot."""
    missing = sorted({package for command, package in TOOLS.items() if not shutil.which(command)})
    if not DEBIAN_KEYS.exists():
        missing.append("debian-archive-keyring")
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise LabError(f"the practice fleet needs {', '.join(missing)}, and this is no Debian or Ubuntu: use one")
    say(f"installing {' '.join(missing)} with apt-get")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    mend = f"Install by hand: apt-get install {' '.join(missing)}"
    sh_saying(["apt-get", "update", "-q"], say, "apt-get update", env=env, mend=mend)
    install = ["apt-get", "install", "-qy", "--no-install-recommends", *missing]
    sh_saying(install, say, "apt-get install", env=env, mend=mend)


def require_overlay(directory: Path) -> None:
    """LabError when hosts' disks (overlayfs upper layers) cannot live in `directory`; tried, not guessed."""
    if set(str(directory)) & set(":,\\"):
        raise LabError(f"{directory} cannot hold practice hosts: choose a data directory without ':', ',' and '\\'")
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix="try-") as name:
        trial = Path(name)
        for part in ("lower", "upper", "work", "merged"):
            (trial / part).mkdir()
        options = f"lowerdir={trial}/lower,upperdir={trial}/upper,workdir={trial}/work"
        script = f"mount -t overlay overlay -o '{options}' '{trial}/merged' && touch '{trial}/merged/written'"
        try:
            sh_saying(["unshare", "--mount", "sh", "-c", script], silent, "overlay")
        except LabError as refused:
            raise LabError(
                f"{directory} cannot hold practice hosts: overlayfs refuses it as an upper layer. Choose a data "
                "directory on a local file system such as ext4, xfs or tmpfs, on a kernel that has overlayfs"
            ) from refused


@contextlib.contextmanager
def locked(path: Path, say: Say, waiting_for: str) -> Iterator[int]:
    """Holds `path` alone among all processes of the machine and yields its descriptor.

    Says every 4 s that it waits. The holder may unlink `path`: a waiter then takes the new file, not the dead one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    started = said = time.monotonic()
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            while not _try_lock(descriptor):
                if time.monotonic() - said >= QUIET_SECONDS:
                    said = time.monotonic()
                    say(f"waiting for another process that {waiting_for} ({said - started:.0f} s)")
                time.sleep(0.05)
            if _is_still(path, descriptor):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def shared_state() -> Iterator[None]:
    """Serialises what all fleets of the machine change together: sysctl, and the first network namespace."""
    with locked(SHARED / "machine.lock", silent, "changes a machine setting"):
        yield


def want_inotify(number: int, hosts: int) -> None:
    """Raises the inotify limit for fleet `number` (0 hosts: gives it back); without it boots stop at about 22 hosts.

    The limit is the machine's, so the fleets' needs are summed, and the last one to leave restores what was there.
    """
    state = RUNTIME / "inotify.json"
    with shared_state():
        if hosts == 0 and not state.exists():
            return
        original, fleets = _inotify_record(state)
        fleets.pop(str(number), None)
        if hosts:
            fleets[str(number)] = hosts
            # Before the change: a crash in between must not lose what to give back.
            replace(state, json.dumps({"original": original, "hosts": fleets}))
        INOTIFY.write_text(str(original + INOTIFY_PER_HOST * sum(fleets.values())))
        if not hosts and fleets:
            replace(state, json.dumps({"original": original, "hosts": fleets}))
        elif not hosts:
            state.unlink()


def _inotify_record(state: Path) -> tuple[int, dict[str, int]]:
    if not state.exists():
        return int(INOTIFY.read_text()), {}
    record = json.loads(state.read_text())
    return record["original"], record["hosts"]


def replace(path: Path, text: str, mode: int = 0o644) -> None:
    """Writes a whole file or none: a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.chmod(mode)
    new.rename(path)


def forget_runtime() -> None:
    """Removes the runtime directories once no fleet uses them."""
    with contextlib.suppress(OSError):
        RUNTIME.rmdir()
        RUNTIME.parent.rmdir()
