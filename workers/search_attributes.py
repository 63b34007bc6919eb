"""A workflow that sets a search attribute the namespace lacks hangs for ever, so a worker looks before it starts."""

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client

from workflows.contracts.errors import VulnzeroError
from workflows.contracts.names import SEARCH_ATTRIBUTES


class MissingSearchAttributes(VulnzeroError):
    """The mend is the command that adds them."""


def _type_name(value: int) -> str:
    """INDEXED_VALUE_TYPE_KEYWORD_LIST -> KeywordList, as the temporal CLI spells it."""
    words = IndexedValueType.Name(IndexedValueType.ValueType(value)).removeprefix("INDEXED_VALUE_TYPE_").split("_")
    return "".join(word.capitalize() for word in words)


async def require(client: Client) -> None:
    answer = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    there = {name: _type_name(value) for name, value in answer.custom_attributes.items()}
    missing = {name: kind for name, kind in SEARCH_ATTRIBUTES.items() if there.get(name) != kind}
    if missing:
        flags = " ".join(f"--name {name} --type {kind}" for name, kind in missing.items())
        raise MissingSearchAttributes(
            f"namespace {client.namespace} lacks the search attributes {', '.join(missing)}",
            f"add them: temporal operator search-attribute create --namespace {client.namespace} {flags}",
        )
