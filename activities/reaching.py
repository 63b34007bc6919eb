"""A connection to a host with the deployment's own trust: pinned key, its credential, nothing from this machine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh

from workflows.contracts.inventory import Asset

CONNECT_SECONDS = 10.0


class Unreachable(Exception):
    """Why a host could not be reached, in one clause."""


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
        raise Unreachable("its host key is not the pinned one") from None
    except asyncssh.PermissionDenied:
        raise Unreachable(f"it refuses user {asset.user} with {asset.credential}") from None
    except (asyncssh.KeyImportError, FileNotFoundError, PermissionError) as error:
        raise Unreachable(f"the key {asset.credential} cannot be used: {_why(error)}") from None
    except (TimeoutError, asyncssh.ConnectionLost):
        raise Unreachable(f"no answer from {asset.address}:{asset.port} within {CONNECT_SECONDS:.0f} s") from None
    except (OSError, asyncssh.Error) as error:
        raise Unreachable(f"{asset.address}:{asset.port}: {error}") from None
    try:
        yield connection
    finally:
        connection.close()
        await connection.wait_closed()


def credential_file(asset: Asset) -> str:
    return str(Path(asset.credential.removeprefix("file:")))


async def reach(asset: Asset) -> str | None:
    """None when a session can be had, else why not."""
    try:
        async with asyncio.timeout(2 * CONNECT_SECONDS), connect(asset):
            return None
    except TimeoutError:
        return f"no answer from {asset.address}:{asset.port} within {2 * CONNECT_SECONDS:.0f} s"
    except Unreachable as error:
        return str(error)


def _why(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
