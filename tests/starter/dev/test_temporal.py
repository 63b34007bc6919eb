import asyncio
import os
import socket
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import PollWorkflowTaskQueueRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from starter.dev import proc
from starter.dev.errors import StackError
from starter.dev.scratch import scratch_temporal
from starter.dev.temporal import Temporal


def server_in(folder: Path, **attributes: str) -> Temporal:
    return Temporal(folder, proc.free_port(), proc.free_port(), search_attributes=attributes or {"DeploymentId": "Int"})


async def listed(server: Temporal) -> list[str]:
    client = await Client.connect(server.address, namespace=server.namespace)
    return [one.id async for one in client.list_workflows("ExecutionStatus = 'Running'")]


async def test_a_killed_server_comes_back_with_its_workflows(folder: Path) -> None:
    server = server_in(folder)
    server.start()
    try:
        client = await Client.connect(server.address, namespace=server.namespace)
        await client.start_workflow("Anything", id="deployment-1", task_queue="q", run_timeout=timedelta(hours=1))
        server.kill()
        assert not server.alive
        server.start()
        client = await Client.connect(server.address, namespace=server.namespace)
        described = await client.get_workflow_handle("deployment-1").describe()
        assert described.status == WorkflowExecutionStatus.RUNNING
        assert await listed(server) == ["deployment-1"]
        # The same client goes on by itself: a crash of the server is no reason to restart its users.
        server.kill()
        server.start()
        await client.get_workflow_handle("deployment-1").terminate()
    finally:
        server.stop()


async def test_a_stop_does_not_wait_for_a_worker_that_still_polls(folder: Path) -> None:
    with scratch_temporal(data=folder) as server:
        client = await Client.connect(server.address, namespace=server.namespace)
        request = PollWorkflowTaskQueueRequest(namespace=server.namespace, task_queue=TaskQueue(name="q"))
        poll = asyncio.create_task(client.workflow_service.poll_workflow_task_queue(request))
        await listed(server)
        await asyncio.to_thread(server.stop)
        poll.cancel()
        assert server.server.exit_code == 0


async def test_a_search_attribute_added_later_reaches_a_file_that_was_made_before(folder: Path) -> None:
    first = server_in(folder, DeploymentId="Int")
    first.start()
    first.kill()
    first.stop()
    second = server_in(folder, DeploymentId="Int", Cves="KeywordList")
    second.start()
    client = await Client.connect(second.address, namespace=second.namespace)
    added = TypedSearchAttributes(
        [SearchAttributePair(SearchAttributeKey.for_keyword_list("Cves"), ["CVE-2024-12345"])]
    )
    await client.start_workflow("Anything", id="d", task_queue="q", search_attributes=added)
    second.kill()
    second.stop()
    third = server_in(folder, DeploymentId="Keyword")
    with pytest.raises(StackError, match=r"DeploymentId is INT in .*temporal\.sqlite but Keyword is asked for: write"):
        third.start()
    assert not third.alive
    fourth = server_in(folder, Cves="Text")
    with pytest.raises(StackError, match="Cves is KEYWORD_LIST"):
        fourth.start()


def test_a_file_that_was_half_made_is_set_aside_and_a_new_one_made(folder: Path) -> None:
    server = server_in(folder)
    server.database.touch()
    server.start()
    server.kill()
    server.stop()
    assert len(list(folder.glob("temporal.sqlite.broken-*"))) == 1
    assert server.database.stat().st_mode & 0o077 == 0


def test_a_server_whose_supervisor_vanished_is_ended_and_replaced(folder: Path) -> None:
    first = server_in(folder)
    first.start()
    first._lock.release()
    second = Temporal(folder, first.port, first.ui_port)
    second.start()
    try:
        assert not first.alive
        assert second.server.pid != first.server.pid
    finally:
        second.stop()


@pytest.mark.parametrize("which", ["port", "ui_port"])
def test_a_taken_port_is_named_with_its_holder_and_the_mend(folder: Path, which: str) -> None:
    server = server_in(folder)
    port = getattr(server, which)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(StackError) as caught:
        server.start()
    assert f"port {port} for " in str(caught.value)
    assert f"is taken by pid {os.getpid()} (" in str(caught.value)
    assert f"choose another `temporal.{which}`" in str(caught.value)


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


async def test_the_persons_own_temporal_settings_do_not_reach_the_server(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("TEMPORAL_API_KEY", "secret")
    monkeypatch.setenv("TEMPORAL_TLS", "true")
    with scratch_temporal({"frontend.WorkflowTimeSkippingEnabled": True}, {"Cves": "KeywordList"}) as server:
        assert await listed(server) == []
        assert b"secret" not in environment_of(server.server.pid)
