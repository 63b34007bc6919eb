"""Where the stack is: a flag beats the environment, which beats the file that a running `vulnzero dev` leaves."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from starter.dev.number import default_root
from starter.errors import NothingKnown
from workers.connection import TemporalAddress
from workflows.contracts.errors import InvalidRequest

STACK_FILE = "stack.env"
DEFAULT_ADDRESS = "localhost:7233"


@dataclass(frozen=True)
class Where:
    """What a person gave by flag (None: not given), over `environ`. Nothing is looked up before it is needed."""

    database: str | None = None
    address: str | None = None
    namespace: str | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def database_url(self) -> str:
        """Raises NothingKnown."""
        url = self._given_database() or self.stack_file().get("DATABASE_URL")
        if not url:
            raise NothingKnown("the database", "DATABASE_URL")
        return url

    def stack_file(self) -> dict[str, str]:
        """What this checkout's running dev stack says of itself; empty where none runs."""
        folder = place_of_checkout(self.environ)
        return read_env_file(folder / STACK_FILE) if folder else {}

    def temporal(self) -> TemporalAddress:
        """Flag, else what temporalio.envconfig reads (environment, then its own file), else the dev stack.

        Raises InvalidRequest where that would pair one stack's database with another one's Temporal: deployment 7
        of one ledger would then be carried out as deployment 7 of the other.
        """
        from temporalio.envconfig import ClientConfigProfile

        try:
            profile = ClientConfigProfile.load(config_file_strict=True, override_env_vars=dict(self.environ))
        except RuntimeError as error:
            raise InvalidRequest("Temporal configuration", str(error), "mend or unset TEMPORAL_CONFIG_FILE") from None
        config = profile.to_client_connect_config()
        if self.address or config.get("target_host"):
            source = "--temporal-address" if self.address else "TEMPORAL_ADDRESS"
            address = self.address or config["target_host"]
            return TemporalAddress(address, self.namespace or config.get("namespace") or "default", source, profile)
        stack = self.stack_file()
        if not stack.get("TEMPORAL_ADDRESS"):
            namespace = self.namespace or config.get("namespace") or "default"
            return TemporalAddress(DEFAULT_ADDRESS, namespace, "the default, nothing says otherwise", profile)
        given = self._given_database()
        if given and not _same_place(given, stack.get("DATABASE_URL", "")):
            raise InvalidRequest(
                "DATABASE_URL",
                "is not the dev stack's, whose Temporal would be used with it",
                "set TEMPORAL_ADDRESS too, or unset DATABASE_URL",
            )
        namespace = self.namespace or config.get("namespace") or stack.get("TEMPORAL_NAMESPACE") or "default"
        return TemporalAddress(stack["TEMPORAL_ADDRESS"], namespace, "the dev stack", None)

    def _given_database(self) -> str | None:
        return self.database or self.environ.get("DATABASE_URL") or None


def _same_place(one: str, other: str) -> bool:
    return one.partition("://")[2] == other.partition("://")[2]


def read_env_file(path: Path) -> dict[str, str]:
    """KEY=VALUE lines; `#` starts a comment line. A file that is not there is empty. Values may hold `=`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {key.strip(): value.strip() for key, _, value in pairs}


def write_env_file(path: Path, values: Mapping[str, str]) -> None:
    """In one step, and readable by its owner only: it holds the database's password."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text("".join(f"{key}={value}\n" for key, value in values.items()), encoding="utf-8")
    fresh.replace(path)


def checkout() -> Path:
    """The checkout this code lies in: the owner of the stack number."""
    return Path(__file__).resolve().parents[1]


def place_of_checkout(environ: Mapping[str, str]) -> Path | None:
    """The data folder of this checkout's stack, without making one: looking must not leave traces."""
    if data := environ.get("VULNZERO_DATA"):
        return Path(data)
    root = default_root()
    if number := environ.get("VULNZERO_NUMBER"):
        return root / number
    try:
        folders = sorted(path for path in root.iterdir() if path.name.isdecimal())
    except OSError:
        return None
    owners = ((folder, folder / "owner") for folder in folders)
    mine = str(checkout())
    return next((folder for folder, owner in owners if _first_line(owner) == mine), None)


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
