import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from temporalio.client import Client

from starter.dev import config, proc
from starter.dev.errors import StackError
from starter.dev.number import Place
from starter.dev.stack import Extra, Stack
from tests.starter.dev.conftest import PAGE, place_in


@pytest.fixture
def stack(place: Place) -> Iterator[Stack]:
    made = Stack(config.load(PAGE), place, env={})
    try:
        yield made
    finally:
        kill_quickly(made)


def kill_quickly(stack: Stack) -> None:
    """Without the 1.2 s of Temporal's kind stop, which is none of this file's questions but one."""
    if stack.temporal.alive:
        stack.kill_temporal()
    stack.stop()


def rows(stack: Stack, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(stack.database_url.replace("+psycopg", ""), autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        return list(cursor.fetchall()) if cursor.description else []


async def test_two_stacks_run_at_once_and_each_comes_back_from_a_crash_of_its_servers(
    stack: Stack, place: Place
) -> None:
    migrated: list[str] = []
    other = Stack(config.load(PAGE), place_in(place.data.parents[1], "other"), env={})
    try:
        stack.start(migrate=migrated.append)
        other.start()
        assert migrated == [stack.database_url]
        assert stack.temporal_address != other.temporal_address
        rows(stack, "drop table if exists t")
        rows(stack, "create table t (n int)")
        rows(stack, "insert into t values (1)")
        client = await Client.connect(stack.temporal_address, namespace=stack.namespace)
        await client.start_workflow("Anything", id="deployment-1", task_queue="q")

        stack.kill_postgres()
        stack.kill_temporal()
        assert (stack.postgres.alive, stack.temporal.alive) == (False, False)
        stack.restart_postgres()
        stack.restart_temporal()
        assert stack.dead_server() is None
        assert rows(stack, "select n from t") == [(1,)]
        assert [one.id async for one in client.list_workflows()] == ["deployment-1"]
        other_client = await Client.connect(other.temporal_address, namespace=other.namespace)
        assert [one.id async for one in other_client.list_workflows()] == []
    finally:
        kill_quickly(other)


def test_a_second_stack_on_the_same_number_names_the_first(stack: Stack, place: Place) -> None:
    stack.start()
    with pytest.raises(StackError, match=rf"the dev stack in .* runs already, under pid {os.getpid()} "):
        Stack(config.load(PAGE), place, env={}).start()
    assert stack.postgres.alive


def test_a_failed_migration_leaves_nothing_running(stack: Stack) -> None:
    def fail(url: str) -> None:
        raise ValueError("broken migration")

    with pytest.raises(ValueError, match="broken migration"):
        stack.start(migrate=fail)
    assert (stack.postgres.alive, stack.temporal.alive) == (False, False)


def test_a_database_of_ones_own_is_used_and_never_touched(place: Place) -> None:
    stack = Stack(config.load(PAGE), place, env={"DATABASE_URL": "postgresql://me:secret@db/x"})
    assert stack.database_url == "postgresql+psycopg://me:secret@db/x"
    with pytest.raises(StackError, match="DATABASE_URL is set"):
        stack.kill_postgres()
    with pytest.raises(StackError, match="DATABASE_URL does not begin with postgresql://"):
        Stack(config.load(PAGE), place, env={"DATABASE_URL": "sqlite:///x"})


def test_a_child_finds_the_stack_and_nothing_of_another_temporal(place: Place) -> None:
    shell = {"DATABASE_URL": "postgresql://h/d", "TEMPORAL_API_KEY": "secret", "PATH": "/bin"}
    found = Stack(config.load(PAGE), place, env=shell).environment()
    assert "TEMPORAL_API_KEY" not in found
    assert found["TEMPORAL_ADDRESS"] == f"127.0.0.1:{place.temporal_port}"
    assert (found["PATH"], found["VULNZERO_NUMBER"]) == ("/bin", str(place.number))


def test_before_the_first_start_the_way_to_one_is_named(folder: Path) -> None:
    stack = Stack(config.load(PAGE), place_in(folder, "new"), env={})
    with pytest.raises(StackError, match="start the stack with `vulnzero dev` first"):
        _ = stack.database_url


def test_a_fixed_port_and_folder_of_the_page_are_obeyed(place: Place, folder: Path) -> None:
    page = folder / "page.yml"
    text = PAGE.read_text().replace("data: auto", f"data: {folder}/elsewhere")
    page.write_text(text.replace("  ui_port: auto", "  ui_port: 23456"))
    stack = Stack(config.load(page), place, env={})
    assert (stack.ui_url, stack.data) == ("http://127.0.0.1:23456", folder / "elsewhere")


def test_an_extra_server_is_refused_where_its_port_is_taken(stack: Stack) -> None:
    port = proc.free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proc, "is_free", lambda number, host="": number != port)
        with pytest.raises(StackError, match=f"port {port} for api is taken"):
            stack.spawn(Extra("api", ("true",), "server", port=port))
