import os
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from starter.dev import proc
from starter.dev.errors import StackError
from starter.dev.postgres import Postgres
from starter.dev.postgres_binaries import can_enter, locate
from starter.dev.scratch import FAST, scratch_folder, scratch_postgres


def connect(server: Postgres) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(server.url.replace("+psycopg", ""), autocommit=True)


def write(server: Postgres) -> None:
    with connect(server) as connection:
        connection.execute("drop table if exists t")
        connection.execute("create table t (n int)")
        connection.execute("insert into t values (1)")


def count(server: Postgres) -> object:
    with connect(server) as connection:
        row = connection.execute("select count(*) from t").fetchone()
        assert row is not None
        return row[0]


@pytest.fixture(scope="module")
def used() -> Iterator[Path]:
    """A folder in which servers have run before: making one anew for every test would be most of the time."""
    with scratch_folder() as path:
        yield path


@pytest.fixture
def server(used: Path) -> Iterator[Postgres]:
    """A stopped server on a folder that may have data."""
    made = Postgres(used, proc.free_port(), settings=FAST)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def fresh(folder: Path) -> Iterator[Postgres]:
    """A server that was never started."""
    made = Postgres(folder, proc.free_port(), settings=FAST)
    try:
        yield made
    finally:
        made.stop()


def another(server: Postgres, say: list[str] | None = None) -> Postgres:
    """What the next process would have: the same folder and port, nothing remembered."""
    return Postgres(server.data, server.port, settings=FAST, say=(say if say is not None else []).append)


def test_what_was_written_is_there_after_a_stop_and_a_start(server: Postgres) -> None:
    server.start()
    write(server)
    url = server.url
    server.stop()
    assert not server.alive
    second = another(server)
    second.start()
    try:
        assert second.url == url
        assert count(second) == 1
    finally:
        second.stop()


def test_a_killed_server_leaves_no_process_and_comes_back_with_its_data(server: Postgres) -> None:
    server.start()
    write(server)
    server.kill()
    assert proc.working_in(server.files.folder) == []
    server.start()
    assert count(server) == 1


def test_backends_that_outlived_their_postmaster_are_ended_before_the_next_start(server: Postgres) -> None:
    server.start()
    write(server)
    assert server.server.process is not None
    with connect(server) as connection, pytest.raises(psycopg.Error):
        busy = connection.execute("select pg_backend_pid()").fetchone()
        assert busy is not None
        # Stopped, the backend cannot notice that its postmaster is gone; it still has the shared memory.
        os.kill(int(str(busy[0])), signal.SIGSTOP)
        os.kill(server.server.pid, signal.SIGKILL)
        server.server.process.wait()
        server.start()
        connection.execute("select 1")
    assert count(server) == 1


def test_a_half_made_folder_is_set_aside_and_a_new_one_made(fresh: Postgres) -> None:
    (fresh.files.folder / "base").mkdir(parents=True)
    (fresh.files.folder / "PG_VERSION").write_text("18\n")
    heard: list[str] = []
    second = another(fresh, heard)
    second.start()
    write(second)
    second.stop()
    assert "was half made" in heard[0]
    assert len(list(fresh.data.glob("postgres.broken-*/PG_VERSION"))) == 1


def test_an_initdb_that_was_killed_is_thrown_away(fresh: Postgres) -> None:
    (fresh.data / "postgres.new" / "base").mkdir(parents=True)
    (fresh.data / "postgres.initdb").write_text("old")
    fresh.files.folder.mkdir()
    fresh.start()
    write(fresh)
    assert not (fresh.data / "postgres.new").exists()
    assert not (fresh.data / "postgres.initdb").exists()


@pytest.mark.parametrize("content", ["{other}\n{data}\n1\n", "", "4194303\n", "rubbish\n"])
def test_a_stale_pid_file_does_not_keep_the_server_from_starting(server: Postgres, content: str) -> None:
    server.start()
    write(server)
    server.stop()
    pid_file = server.files.folder / "postmaster.pid"
    # A process of the same user that took the number over: PostgreSQL alone would refuse to start for ever.
    user = locate().user
    with subprocess.Popen(["sleep", "60"], cwd="/", user=user) as other:
        try:
            pid_file.write_text(content.format(other=other.pid, data=server.files.folder))
            server.start()
            assert count(server) == 1
            assert other.poll() is None
        finally:
            other.kill()


def test_a_server_whose_supervisor_vanished_is_ended_and_replaced(server: Postgres) -> None:
    server.start()
    write(server)
    old = server.server.pid
    # Its lock goes with its supervisor; the server itself is left, as where the kernel has no death signal.
    server._lock.release()
    heard: list[str] = []
    second = another(server, heard)
    second.start()
    assert second.server.pid != old
    assert count(second) == 1
    second.stop()
    assert "earlier run still runs" in heard[0]


def test_a_lost_password_is_renewed_and_the_data_kept(server: Postgres) -> None:
    server.start()
    write(server)
    server.stop()
    before = server.url
    server.files.password_file.unlink()
    server.start()
    assert server.url != before
    assert count(server) == 1


def test_a_wrong_password_is_refused_and_the_right_one_is_for_our_eyes_only(server: Postgres) -> None:
    server.start()
    assert stat.S_IMODE(server.files.password_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(server.files.folder.stat().st_mode) == 0o700
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"postgresql://vulnzero:wrong@127.0.0.1:{server.port}/vulnzero")


def test_a_taken_port_is_named_with_its_holder_and_the_mend(server: Postgres) -> None:
    with socket.create_server(("127.0.0.1", server.port)), pytest.raises(StackError) as caught:
        server.start()
    assert f"port {server.port} for PostgreSQL is taken by pid {os.getpid()} (" in str(caught.value)
    assert "choose another `postgres.port`" in str(caught.value)


def test_a_second_start_on_the_same_folder_names_the_holder(server: Postgres) -> None:
    server.start()
    with pytest.raises(StackError, match=f"PostgreSQL in .* runs already, under pid {os.getpid()} .*end it"):
        another(server).start()
    assert server.alive


def test_data_of_another_major_version_is_left_alone(server: Postgres) -> None:
    server.start()
    server.stop()
    (server.files.folder / "PG_VERSION").write_text("17\n")
    try:
        with pytest.raises(StackError, match=r"is of PostgreSQL 17 but 18 is installed: .*dump and reload"):
            server.start()
    finally:
        (server.files.folder / "PG_VERSION").write_text("18\n")


def test_a_server_that_dies_at_start_says_why(folder: Path) -> None:
    server = Postgres(folder, proc.free_port(), settings={**FAST, "shared_buffers": "rubbish"})
    with pytest.raises(StackError, match=r"PostgreSQL ended with 1 while starting: .*shared_buffers.*postgres\.log"):
        server.start()


def test_two_servers_run_side_by_side() -> None:
    with scratch_postgres() as one, scratch_postgres() as two:
        write(one)
        with connect(two) as connection, pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("select * from t")
        assert one.url != two.url
    assert not one.data.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to hand PostgreSQL to another user")
def test_a_folder_that_the_unprivileged_user_cannot_enter_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(StackError, match=r"PostgreSQL runs as nobody, who cannot enter .*chmod"):
        Postgres(tmp_path / "data", proc.free_port()).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to hand PostgreSQL to another user")
def test_programs_that_the_unprivileged_user_cannot_reach_are_copied_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = can_enter

    def refuse_installed(place: Path, uid: int) -> bool:
        return folder.resolve() in place.parents and real(place, uid)

    monkeypatch.setattr("starter.dev.postgres_binaries.can_enter", refuse_installed)
    binaries = locate(folder)
    made = (binaries.bin / "postgres").stat()
    assert folder in binaries.bin.parents
    assert (locate(folder).bin / "postgres").stat().st_ino == made.st_ino
    server = Postgres(folder / "data", proc.free_port(), settings=FAST, binaries=binaries)
    server.start()
    try:
        write(server)
        assert count(server) == 1
    finally:
        server.stop()
