"""Files that outlive a killed run and say, host by host, how far it can have come.

The events of a run say what happened; after a kill or a broken connection only files say what cannot have happened.
Each errs towards "it may have begun", which costs a look, and never towards "nothing happened", which would lose a
half patched host.
"""

import shlex
from pathlib import Path
from typing import Protocol


class Marks(Protocol):
    """What `outcomes` asks; a test answers with two sets."""

    def asked(self, host: str) -> bool:
        """The host may have asked the worker for its claim."""

    def reached(self, host: str) -> bool:
        """A session on the host may have been opened."""


class FileMarks:
    """`asked-HOST` is written by the claim before it asks. `unreached-HOST` is there from the start, and ssh itself
    removes it once the host has proved its key and let us in, before any command is sent."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def prepare(self, hosts: list[str]) -> None:
        self._directory.mkdir(mode=0o700)
        for host in hosts:
            self._unreached(host).touch()

    def asked_path(self, host: str) -> Path:
        return self._directory / f"asked-{host}"

    def _unreached(self, host: str) -> Path:
        return self._directory / f"unreached-{host}"

    def local_command(self, host: str) -> str:
        """For ssh's LocalCommand, which expands % itself. Removing needs no space on the disk, unlike a new file."""
        return f"/bin/rm -f {shlex.quote(str(self._unreached(host)))}".replace("%", "%%")

    def asked(self, host: str) -> bool:
        return self.asked_path(host).exists()

    def reached(self, host: str) -> bool:
        return not self._unreached(host).exists()
