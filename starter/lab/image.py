"""The base root file system under every practice host: made once per machine and per recipe."""

import hashlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from starter.lab import packages
from starter.lab.machine import SHARED, locked
from starter.lab.shell import Say, sh, sh_saying

SUITE = "bookworm"
INCLUDE = "systemd-sysv,dbus,openssh-server,python3,python3-apt,ca-certificates,iproute2,procps"
# Timers and gettys that a practice host has no use for; they would only steal boot time from 2 cores.
MASKED = (
    *("getty.target", "console-getty.service", "systemd-timesyncd.service", "e2scrub_reap.service", "fstrim.timer"),
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "systemd-tmpfiles-clean.timer"),
)

FILES: dict[str, tuple[str, int]] = {
    "etc/apt/sources.list": ("deb [trusted=yes] file:///srv/repo ./\n", 0o644),
    # Blocks after dpkg is through and before anything restarts the service: the window a kill must not go unnoticed in.
    "etc/apt/apt.conf.d/90hold": (
        f'DPkg::Post-Invoke {{ "[ ! -x {packages.HOLD_SCRIPT} ] || {packages.HOLD_SCRIPT} installed"; }};\n',
        0o644,
    ),
    "etc/ssh/sshd_config.d/lab.conf": (
        "HostKey /etc/ssh/ssh_host_ed25519_key\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        "UseDNS no\nMaxStartups 200:30:400\n",
        0o644,
    ),
}
UNSAFE_IO = {"etc/dpkg/dpkg.cfg.d/lab": ("force-unsafe-io\n", 0o644)}  # fsync buys a throw-away disk nothing


@dataclass(frozen=True)
class Image:
    """A finished base: `rootfs` is every host's lower layer, `repo` the apt repository they see as /srv/repo."""

    home: Path

    @property
    def rootfs(self) -> Path:
        return self.home / "rootfs"

    @property
    def repo(self) -> Path:
        return self.home / "repo"


def recipe_hash() -> str:
    """A name for the recipe: the code of the two modules that make an image, so that a change makes a new one."""
    sources = (Path(__file__), Path(packages.__file__))
    return hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()[:12]


def current() -> Image:
    """The image of today's recipe, whether or not it was made yet."""
    return Image(SHARED / recipe_hash())


def ensure(say: Say) -> Image:
    """The base image, made if it is missing (about half a minute); LabError when it cannot be made.

    It appears by a rename, so a half-made one is never used; the next call removes it and starts again.
    """
    image = current()
    if image.home.exists():
        return image
    with locked(SHARED / "image.lock", say, "makes the base image") as lock:
        if image.home.exists():
            return image
        for half_made in SHARED.glob("making-*"):
            sh("rm", "-rf", "--one-file-system", str(half_made))
        started = time.monotonic()
        say(f"making the base image once for this machine, in {image.home}")
        making = Image(SHARED / f"making-{image.home.name}")
        making.home.mkdir(parents=True)
        _make(making, say, lock)
        making.home.rename(image.home)
        say(f"the base image is made ({time.monotonic() - started:.0f} s)")
    return image


def _make(image: Image, say: Say, lock: int) -> None:
    root = image.rootfs
    packages.build_repository(image.repo, image.home / "scratch")
    # Its mounts go into a namespace of their own: killed, it would leave them, and the half-made base unremovable.
    command = ["unshare", "--mount", "--propagation", "slave", "mmdebstrap", "--variant=minbase", "--mode=root"]
    command.append('--aptopt=APT::Install-Recommends "false"')
    mend = "See that this machine reaches a Debian mirror (http_proxy is honoured), then try again"
    sh_saying([*command, f"--include={INCLUDE}", SUITE, str(root)], say, "base image", pass_fds=(lock,), mend=mend)
    say("base image: installing acme-healthd 1.0.0, the vulnerable one")
    packages.write_tree(root, FILES)
    shutil.copytree(image.repo, root / "srv/repo")
    chroot = ("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "chroot", str(root))
    sh(*chroot, "apt-get", "update", "-q")
    sh(*chroot, "apt-get", "install", "-qy", f"{packages.PACKAGE}={packages.VULNERABLE}")
    sh(*chroot, "systemctl", "-q", "mask", *MASKED)
    packages.write_tree(root, UNSAFE_IO)
    shutil.rmtree(root / "srv/repo")
    (root / "srv/repo").mkdir()
    # This machine's name servers are out of a host's reach: each look-up would hang for ten seconds instead of failing.
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    # Each host brings its own: a key or a machine id that hosts share would make them one host to whoever looks.
    for own in (*root.glob("etc/ssh/ssh_host_*"), root / "etc/hostname", root / "etc/machine-id"):
        own.unlink(missing_ok=True)
    (root / "etc/machine-id").touch()
    os.sync()
