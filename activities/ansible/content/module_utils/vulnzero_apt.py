"""Debian's package manager behind the few questions that a patch asks; another platform is another such class."""

import errno
import fcntl
import os
import time

DPKG_INFO = "/var/lib/dpkg/info"
LISTS_LOCK = "/var/lib/apt/lists/lock"
LOCK_WAIT = 60

ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", "NEEDRESTART_MODE": "l"}


class PackageError(Exception):
    """The package manager did not do it; the text names the cause."""


class Apt:
    def __init__(self, module, lock_fd):
        self.module, self.lock_fd = module, lock_fd

    @staticmethod
    def present(module):
        return bool(module.get_bin_path("apt-get") and module.get_bin_path("dpkg-query"))

    def ask(self, package):
        """dpkg's own words, asked afresh: version (None: not on disk), status ('installed' is whole), want, arch."""
        fields = "${Version}\\t${db:Status-Status}\\t${db:Status-Want}\\t${Architecture}\\n"
        rc, out, _err = self.module.run_command(
            ["dpkg-query", "-W", "-f=" + fields, package], environ_update=ENVIRONMENT
        )
        parts = (out.splitlines() or [""])[0].split("\t") if rc == 0 else []
        version, status, want, arch = parts if len(parts) == 4 else (None, None, None, None)
        if status in ("not-installed", "config-files"):
            version = None
        return {"version": version or None, "status": status, "want": want, "arch": arch}

    @staticmethod
    def interrupted(status):
        """A killed dpkg left something to configure, here or in its own journal: apt refuses to go on before that."""
        pending = os.path.isdir("/var/lib/dpkg/updates") and os.listdir("/var/lib/dpkg/updates")
        half = ("unpacked", "half-configured", "half-installed", "triggers-pending", "triggers-awaited")
        return bool(pending) or status in half

    @staticmethod
    def unpacked_at(package, arch):
        """When the files on disk were unpacked (wall clock, seconds), None when dpkg does not say."""
        name = package.split(":")[0]
        times = []
        for stem in (name, f"{name}:{arch}"):
            try:
                times.append(os.stat(os.path.join(DPKG_INFO, stem + ".list")).st_mtime)
            except OSError:
                continue
        return max(times) if times else None

    def configure(self):
        # Without our lock's descriptor: a maintainer script may start a daemon, which would hold the lock for ever.
        command = ["dpkg", "--configure", "-a", "--force-confold"]
        rc, out, err = self.module.run_command(command, environ_update=ENVIRONMENT)
        if rc != 0:
            raise PackageError(f"dpkg --configure -a failed: {cause(out, err)}")

    def install(self, package, version):
        # apt-get gets our lock's descriptor: when this module is killed, its apt goes on, and so must the lock.
        # (apt closes it before it runs dpkg, so that no daemon inherits it.)
        self._wait_for_lists()
        self._apt("apt-get update", ["apt-get", "update", "-q"])
        self._apt(
            f"installing {package}={version}",
            # --no-remove: a patch that would take another package away needs a person.
            [
                "apt-get",
                "install",
                "-qy",
                "--allow-downgrades",
                "--no-remove",
                "-o",
                "Dpkg::Options::=--force-confold",
                "-o",
                f"DPkg::Lock::Timeout={LOCK_WAIT}",
                f"{package}={version}",
            ],
        )

    def _apt(self, what, command):
        fds = [self.lock_fd] if self.lock_fd is not None else []
        rc, out, err = self.module.run_command(command, environ_update=ENVIRONMENT, pass_fds=fds)
        if rc != 0:
            raise PackageError(f"{what} failed: {cause(out, err)}")

    @staticmethod
    def _wait_for_lists():
        """apt's own lock timeout does not cover `update`, which fails at once while a timer of the host updates."""
        end = time.time() + LOCK_WAIT
        while time.time() < end:
            try:
                with open(LISTS_LOCK, "a") as file:
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    return
            time.sleep(0.1)


def cause(out, err):
    """apt's own error lines, or the last words it said."""
    lines = [line.strip() for line in (err + "\n" + out).splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("E:", "dpkg: error"))]
    return "; ".join(errors[:5]) or "; ".join(lines[-3:]) or "it said nothing"
