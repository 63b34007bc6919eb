"""Assets and patches: import, look-up, selection."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from activities.database.tables import AssetRow, PatchRow, fits_id
from workflows.contracts.errors import EmptySelection, InvalidRequest, UnknownThing
from workflows.contracts.inventory import Asset, AssetSpec, Patch, PatchSpec
from workflows.contracts.model import Contract
from workflows.contracts.plans import PlanHost
from workflows.decisions.selectors import parse_selector

Row = TypeVar("Row", AssetRow, PatchRow)


class Imported(Contract):
    """How many records were new, differed from what was stored, or were the same already."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0


class Assets:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def store(self, specs: Sequence[AssetSpec]) -> Imported:
        """By name, all or none; storing the same again changes nothing."""
        return await _store(self._session, AssetRow, specs)

    async def all(self) -> list[Asset]:
        rows = await self._session.scalars(select(AssetRow).order_by(AssetRow.name))
        return [asset_of(row) for row in rows]

    async def by_ids(self, ids: Iterable[int]) -> list[Asset]:
        """In the order of `ids`. Raises UnknownThing naming the first that is not there."""
        wanted = list(dict.fromkeys(ids))
        possible = filter(fits_id, wanted)
        rows = {row.id: row for row in await self._session.scalars(select(AssetRow).where(AssetRow.id.in_(possible)))}
        for asset_id in wanted:
            if asset_id not in rows:
                raise UnknownThing("asset", asset_id)
        return [asset_of(rows[asset_id]) for asset_id in wanted]

    async def get(self, identity: str) -> Asset:
        """By id or by name."""
        condition = AssetRow.id == int(identity) if fits_id(identity) else AssetRow.name == identity
        row = await self._session.scalar(select(AssetRow).where(condition))
        if row is None:
            raise UnknownThing("asset", identity)
        return asset_of(row)

    async def select(self, selector: str) -> list[PlanHost]:
        """Raises InvalidRequest for a selector that cannot be read, EmptySelection where nothing matches."""
        chosen = parse_selector(selector)
        if chosen.ids is not None:
            await self.by_ids(sorted(chosen.ids))  # an unknown id is a mistake, not an empty set
        columns = select(AssetRow.id, AssetRow.name, AssetRow.platform, AssetRow.labels)
        hosts = [
            PlanHost(asset_id=row.id, name=row.name, platform=row.platform, labels=row.labels)
            for row in await self._session.execute(columns)
            if chosen.matches(row.id, row.labels)
        ]
        if not hosts:
            raise EmptySelection(selector)
        return hosts


class Patches:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def store(self, specs: Sequence[PatchSpec]) -> Imported:
        """By name, all or none; storing the same again changes nothing."""
        return await _store(self._session, PatchRow, specs)

    async def all(self) -> list[Patch]:
        return [_patch(row) for row in await self._session.scalars(select(PatchRow).order_by(PatchRow.name))]

    async def get(self, identity: str | int) -> Patch:
        """By id or by name."""
        key = str(identity)
        condition = PatchRow.id == int(key) if fits_id(key) else PatchRow.name == key
        row = await self._session.scalar(select(PatchRow).where(condition))
        if row is None:
            raise UnknownThing("patch", identity)
        return _patch(row)


async def _store(session: AsyncSession, table: type[Row], specs: Sequence[AssetSpec | PatchSpec]) -> Imported:
    names = [spec.name for spec in specs]
    if twice := [name for name, number in Counter(names).items() if number > 1]:
        raise InvalidRequest(twice[0], "is there twice", "a name is the identity of one record")
    known = {row.name: row for row in await session.scalars(select(table).where(table.name.in_(names)))}
    new, updated, unchanged = [], 0, 0
    for spec in specs:
        values = spec.model_dump(mode="json")
        row = known.get(spec.name)
        if row is None:
            new.append(values)
        elif any(getattr(row, key) != value for key, value in values.items()):
            for key, value in values.items():
                setattr(row, key, value)
            updated += 1
        else:
            unchanged += 1
    if new:
        await session.execute(insert(table), new)
    return Imported(created=len(new), updated=updated, unchanged=unchanged)


def _fields(row: AssetRow | PatchRow, model: type[Contract]) -> dict[str, object]:
    return {name: getattr(row, name) for name in model.model_fields}


def asset_of(row: AssetRow) -> Asset:
    return Asset.model_validate(_fields(row, Asset))


def _patch(row: PatchRow) -> Patch:
    return Patch.model_validate(_fields(row, Patch))
