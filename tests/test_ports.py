"""Each port has one implementation, of the types it says, in the worker of its queue; and nothing else is served."""

import inspect
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast, get_type_hints

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from activities.database.session import Database
from workers import registry
from workers.settings import Settings
from workflows import ports
from workflows.contracts.names import Queue, WorkflowType
from workflows.ports import Port


class Served:
    """What the registry gave to each worker, in place of the worker itself."""

    def __init__(self) -> None:
        self.options: dict[Queue, dict[str, Any]] = {}

    def __call__(self, client: object, *, task_queue: Queue, **options: Any) -> Worker:
        assert task_queue not in self.options, f"two workers for {task_queue}"
        self.options[task_queue] = options
        return cast(Worker, object())

    def activities(self, queue: Queue) -> list[Callable[..., Any]]:
        return list(self.options[queue].get("activities", ()))

    def named(self, queue: Queue) -> list[str]:
        return [name_of(one) for one in self.activities(queue)]


def name_of(implementation: Callable[..., Any]) -> str:
    definition = activity._Definition.from_callable(implementation)
    assert definition is not None and definition.name is not None
    return definition.name


@pytest.fixture
async def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Served]:
    served = Served()
    monkeypatch.setattr(registry, "Worker", served)
    async with Database("postgresql://nobody@127.0.0.1:1/nothing") as database:
        registry.build(cast(Client, None), database, Settings(run_dir=tmp_path))
    yield served


@pytest.mark.parametrize("port", ports.ALL, ids=lambda port: port.name)
async def test_a_port_has_exactly_one_implementation_with_its_types_in_its_queues_worker(
    served: Served, port: Port[Any, Any]
) -> None:
    serving = [queue for queue in Queue for name in served.named(queue) if name == port.name]
    assert serving == [port.queue]
    (implementation,) = (one for one in served.activities(port.queue) if name_of(one) == port.name)
    hints = get_type_hints(implementation)
    parameters = list(inspect.signature(implementation).parameters)
    assert len(parameters) == 1
    assert hints[parameters[0]] is port.argument
    assert hints["return"] is port.result


async def test_nothing_is_served_that_no_port_names(served: Served) -> None:
    names = [name for queue in Queue for name in served.named(queue)]
    assert sorted(names) == sorted(port.name for port in ports.ALL)


def test_every_port_of_the_module_is_in_the_list_of_all() -> None:
    there = {port.name for port in vars(ports).values() if isinstance(port, Port)}
    assert there == {port.name for port in ports.ALL} and len(ports.ALL) == len(there)


async def test_every_workflow_type_is_served_under_its_public_name(served: Served) -> None:
    found = [vars(one)["__temporal_workflow_definition"].name for one in served.options[Queue.WORKFLOWS]["workflows"]]
    assert sorted(found) == sorted(WorkflowType)


async def test_every_worker_that_runs_activities_translates_our_errors(served: Served) -> None:
    for queue in (Queue.CONTROL, Queue.ANSIBLE):
        assert [type(one).__name__ for one in served.options[queue]["interceptors"]] == ["TranslateErrors"]


async def test_a_worker_serves_the_queues_it_is_told_and_no_other(
    served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    served.options.clear()
    async with Database("postgresql://nobody@127.0.0.1:1/nothing") as database:
        registry.build(cast(Client, None), database, Settings(run_dir=tmp_path, queues=(Queue.ANSIBLE,)))
    assert list(served.options) == [Queue.ANSIBLE]
