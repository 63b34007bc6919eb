"""A connection to a host with the deployment's own trust: pinned key, its credential, nothing from this machine."""

import asyncio
import errno
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import asyncssh

from workflows.contracts.inventory import Asset

CONNECT_SECONDS = 10.0
AT_ONCE = 50
Answer = TypeVar("Answer")


class Unreachable(Exception):
    """Why a host could not be reached, in one clause; `mend` is what a person can do about it."""

    def __init__(self, why: str, mend: str = "") -> None:
        super().__init__(why)
        self.mend = mend


@dataclass(frozen=True)
class Looked(Generic[Answer]):
    """What a look at an asset found, and how long it took."""

    asset: Asset
    answer: Answer
    seconds: float


@asynccontextmanager
async def connect(asset: Asset) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """Raises Unreachable for anything between here and a working session."""
    try:
        key = asyncssh.import_public_key(asset.host_key)
        options = asyncssh.SSHClientConnectionOptions(
            username=asset.user,
            known_hosts=([key], [], []),
            # Only the pinned key's own algorithm: a host that offers another one first is not a different host.
            server_host_key_algs=[key.algorithm] if isinstance(key.algorithm, str) else [key.algorithm.decode()],
            config=None,
            client_keys=None if asset.credential == "agent" else [credential_file(asset)],
            **({} if asset.credential == "agent" else {"agent_path": None}),
            connect_timeout=CONNECT_SECONDS,
            login_timeout=CONNECT_SECONDS,
        )
        connection = await asyncssh.connect(asset.address, asset.port, options=options)
    except asyncssh.HostKeyNotVerifiable:
        mend = "was it reinstalled? find out why, then import its new host_key"
        raise Unreachable("its host key is not the pinned one", mend) from None
    except asyncssh.PermissionDenied:
        mend = f"add the key to that user's authorized_keys, or import another user or credential of {asset.name}"
        raise Unreachable(f"it refuses user {asset.user} with {asset.credential}", mend) from None
    except (asyncssh.KeyImportError, FileNotFoundError, PermissionError) as error:
        mend = f"put a private key that this user can read there, or import another credential of {asset.name}"
        raise Unreachable(f"the key {asset.credential} cannot be used: {_why(error)}", mend) from None
    except (TimeoutError, asyncssh.ConnectionLost):
        raise _silent(asset, CONNECT_SECONDS) from None
    except (OSError, asyncssh.Error) as error:
        mend = "is the address right, sshd running, and the network up?"
        raise Unreachable(f"{asset.address}:{asset.port}: {_why(error)}", mend) from None
    try:
        yield connection
    finally:
        connection.close()
        await connection.wait_closed()


def credential_file(asset: Asset) -> str:
    return str(Path(asset.credential.removeprefix("file:")))


async def reach(asset: Asset) -> str | None:
    """None when a session can be had, else why not."""
    trouble = await trouble_reaching(asset)
    return None if trouble is None else str(trouble)


async def trouble_reaching(asset: Asset) -> Unreachable | None:
    """None when a session can be had, else why not, and the mend."""
    try:
        async with asyncio.timeout(2 * CONNECT_SECONDS), connect(asset):
            return None
    except TimeoutError:
        return _silent(asset, 2 * CONNECT_SECONDS)
    except Unreachable as error:
        return error


async def each(
    assets: Iterable[Asset], look: Callable[[Asset], Awaitable[Answer]], at_once: int = AT_ONCE
) -> AsyncGenerator[Looked[Answer], None]:
    """Looks at all, `at_once` at a time, and tells what each look found as soon as it is found."""
    gate = asyncio.Semaphore(at_once)

    async def one(asset: Asset) -> Looked[Answer]:
        async with gate:
            started = time.monotonic()
            return Looked(asset, await look(asset), time.monotonic() - started)

    looks = [asyncio.create_task(one(asset)) for asset in assets]
    try:
        for done in asyncio.as_completed(looks):
            yield await done
    finally:
        # Where nobody wants the rest, it is not looked at.
        for task in looks:
            task.cancel()
        await asyncio.gather(*looks, return_exceptions=True)


def _silent(asset: Asset, seconds: float) -> Unreachable:
    mend = "is it up, and its port open to this machine?"
    return Unreachable(f"no answer from {asset.address}:{asset.port} within {seconds:.0f} s", mend)


def _why(error: Exception) -> str:
    # The number first: asyncio puts "Connect call failed" in place of the system's own "Connection refused".
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number in errno.errorcode and number is not None else str(error)
