"""The claim's socket: who asks, what is answered, and what happens when one end goes away."""

import asyncio
import json
import stat
from pathlib import Path

from activities.ansible.claims import ClaimServer, No, Start


async def ask(path: Path, text: bytes = b'{"host": "web-1"}\n') -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(text)
    await writer.drain()
    answer = await reader.read()
    writer.close()
    return answer


async def test_a_yes_carries_its_fence_and_a_no_its_reason(tmp_path: Path) -> None:
    async def answer(host: str) -> Start | No:
        return Start(fence=17) if host == "web-1" else No(reason="paused")

    async with ClaimServer(str(tmp_path / "s"), answer):
        assert json.loads(await ask(tmp_path / "s")) == {"answer": "start", "fence": 17}
        assert json.loads(await ask(tmp_path / "s", b'{"host": "web-2"}\n')) == {"answer": "no", "reason": "paused"}


async def test_only_the_workers_own_user_may_ask(tmp_path: Path) -> None:
    async def answer(_host: str) -> Start | No:
        return No(reason="x")

    async with ClaimServer(str(tmp_path / "s"), answer):
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600
    assert not (tmp_path / "s").exists()


async def test_servers_that_start_at_once_leave_the_processs_umask_as_it_was(tmp_path: Path) -> None:
    async def answer(_host: str) -> Start | No:
        return No(reason="x")

    async def one(name: str) -> None:
        async with ClaimServer(str(tmp_path / name), answer):
            await ask(tmp_path / name)

    await asyncio.gather(*(one(f"s{number}") for number in range(8)))
    (tmp_path / "made").mkdir()
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) & 0o700 == 0o700


async def test_an_ask_that_fails_is_a_no_and_not_a_wait_for_ever(tmp_path: Path) -> None:
    async def answer(_host: str) -> Start | No:
        raise ConnectionError("the database is away")

    async with ClaimServer(str(tmp_path / "s"), answer):
        assert json.loads(await ask(tmp_path / "s"))["answer"] == "no"


async def test_what_is_not_understood_is_not_answered(tmp_path: Path) -> None:
    async def answer(_host: str) -> Start | No:
        raise AssertionError

    async with ClaimServer(str(tmp_path / "s"), answer):
        for text in (b"hello\n", b"{}\n", b"[]\n", b"\n"):
            assert await ask(tmp_path / "s", text) == b""


async def test_many_hosts_may_wait_at_once(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def answer(_host: str) -> Start | No:
        await gate.wait()
        return Start(fence=1)

    async with ClaimServer(str(tmp_path / "s"), answer):
        asks = [asyncio.create_task(ask(tmp_path / "s")) for _ in range(200)]
        gate.set()
        assert all(b"start" in answer for answer in await asyncio.gather(*asks))


async def test_a_host_whose_run_ended_stops_asking(tmp_path: Path) -> None:
    """A yes to nobody would keep a host in hand."""
    asked, ended = asyncio.Event(), asyncio.Event()

    async def answer(_host: str) -> Start | No:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async with ClaimServer(str(tmp_path / "s"), answer):
        _, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(b'{"host": "web-1"}\n')
        await asked.wait()
        writer.close()
        await asyncio.wait_for(ended.wait(), 5)


async def test_closing_the_server_closes_the_asks_in_hand(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def answer(_host: str) -> Start | No:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with ClaimServer(str(tmp_path / "s"), answer):
        waiting = asyncio.create_task(ask(tmp_path / "s"))
        await asked.wait()
    assert await asyncio.wait_for(waiting, 5) == b""
