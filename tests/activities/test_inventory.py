"""Assets and patches: imported by name, all or none, and chosen by selector."""

import psycopg
import pytest

from activities.database.inventory import Assets, Imported, Patches
from activities.database.session import Database
from tests.activities.ledger import patch, spec, store
from workflows.contracts.errors import EmptySelection, InvalidRequest, UnknownThing
from workflows.contracts.inventory import HttpProbe, Service

HUGE = 2**63  # no column of the ledger holds it, and no asset has it


async def test_importing_the_same_again_changes_nothing(database: Database) -> None:
    specs = [spec(1, services=(Service(name="acme", probe=HttpProbe(port=8080)),)), spec(2)]
    async with database.transaction() as session:
        assert await Assets(session).store(specs) == Imported(created=2)
    async with database.transaction() as session:
        before = await Assets(session).all()
        assert await Assets(session).store(specs) == Imported(unchanged=2)
        assert await Assets(session).all() == before


async def test_an_import_tells_apart_what_is_new_what_differs_and_what_is_known(database: Database) -> None:
    await store(database, 2)
    async with database.transaction() as session:
        kept = (await Assets(session).get("web-001")).id
        changed = await Assets(session).store([spec(1, labels={"env": "prod"}), spec(2), spec(3)])
        assert changed == Imported(created=1, updated=1, unchanged=1)
    async with database.transaction() as session:
        asset = await Assets(session).get("web-001")
        assert (asset.id, asset.labels) == (kept, {"env": "prod"})


async def test_a_name_that_comes_twice_in_one_import_is_refused_and_nothing_is_stored(database: Database) -> None:
    with pytest.raises(InvalidRequest, match="web-001"):
        async with database.transaction() as session:
            await Assets(session).store([spec(1), spec(2), spec(1, port=2222)])
    async with database.transaction() as session:
        assert await Assets(session).all() == []


async def test_a_patch_is_imported_and_updated_under_its_name(database: Database) -> None:
    async with database.transaction() as session:
        assert await Patches(session).store([patch()]) == Imported(created=1)
        assert await Patches(session).store([patch()]) == Imported(unchanged=1)
        first = await Patches(session).get("acme-1.0.1")
        assert await Patches(session).store([patch(title="Heap overflow")]) == Imported(updated=1)
        again = await Patches(session).get(first.id)
        assert (again.id, again.title) == (first.id, "Heap overflow")
        assert await Patches(session).all() == [again]


async def test_a_thing_is_found_by_its_id_and_by_its_name(database: Database) -> None:
    _, (first, _) = await store(database, 2)
    async with database.transaction() as session:
        assert await Assets(session).get(str(first)) == await Assets(session).get("web-001")


@pytest.mark.parametrize("identity", ["web-999", "999", str(HUGE), "²"])
async def test_an_asset_nobody_has_is_unknown_and_its_name_is_told(database: Database, identity: str) -> None:
    async with database.transaction() as session:
        with pytest.raises(UnknownThing, match=f"no asset {identity}"):
            await Assets(session).get(identity)


@pytest.mark.parametrize("identity", ["none-1.0", 999, HUGE])
async def test_a_patch_nobody_has_is_unknown_and_its_name_is_told(database: Database, identity: str | int) -> None:
    async with database.transaction() as session:
        with pytest.raises(UnknownThing, match=f"no patch {identity}"):
            await Patches(session).get(identity)


async def test_assets_come_in_the_order_they_were_asked_for_and_each_once(database: Database) -> None:
    _, (one, two, three) = await store(database, 3)
    async with database.transaction() as session:
        found = await Assets(session).by_ids([three, one, three, two])
        assert [asset.id for asset in found] == [three, one, two]


@pytest.mark.parametrize("unknown", [999, -1, HUGE])
async def test_the_first_unknown_id_of_a_request_is_named(database: Database, unknown: int) -> None:
    _, (one,) = await store(database, 1)
    async with database.transaction() as session:
        with pytest.raises(UnknownThing, match=f"no asset {unknown}"):
            await Assets(session).by_ids([one, unknown])


async def test_a_selector_chooses_by_labels_and_by_ids(database: Database) -> None:
    async with database.transaction() as session:
        await Assets(session).store([spec(1), spec(2, labels={"env": "prod"}), spec(3, labels={"env": "prod"})])
        ids = {asset.name: asset.id for asset in await Assets(session).all()}
        for selector, names in (
            ("all", {"web-001", "web-002", "web-003"}),
            ("env=prod", {"web-002", "web-003"}),
            ("env!=prod", {"web-001"}),
            (f"id={ids['web-003']},{ids['web-001']}", {"web-001", "web-003"}),
        ):
            assert {host.name for host in await Assets(session).select(selector)} == names, selector


async def test_a_selector_that_matches_nothing_cannot_be_read_or_names_an_unknown_id_is_refused(
    database: Database,
) -> None:
    _, (one,) = await store(database, 1)
    async with database.transaction() as session:
        with pytest.raises(EmptySelection, match="env=nowhere"):
            await Assets(session).select("env=nowhere")
        with pytest.raises(InvalidRequest, match="selector"):
            await Assets(session).select("env=(")
        with pytest.raises(UnknownThing, match="no asset 999"):
            await Assets(session).select(f"id={one},999")


async def test_an_empty_inventory_is_an_empty_selection(database: Database, sql: psycopg.Connection) -> None:
    assert sql.execute("select count(*) from assets").fetchone() == (0,)
    async with database.transaction() as session:
        with pytest.raises(EmptySelection):
            await Assets(session).select("all")
