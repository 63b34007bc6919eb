"""`vulnzero asset`: the machines."""

from pathlib import Path

import click

from starter.cli.exits import wait_for
from starter.cli.main import Entry, LazyGroup
from starter.cli.options import Session, asks_ledger, example

asset = LazyGroup(
    "asset",
    {
        "import": Entry("assets:import_", "from a YAML or JSON file, all or none"),
        "list": Entry("assets:list_", "all assets with their labels"),
        "show": Entry("assets:show", "one asset, by id or name"),
    },
    help="Machines: what deployments put patches on.\n\n" + example("vulnzero asset import assets.yml"),
)


@click.command("import", epilog=example("vulnzero asset import assets.yml"))
@click.argument("file", type=click.Path(path_type=Path))
@asks_ledger
def import_(file: Path, session: Session) -> None:
    """Import the list under `assets:` of FILE (YAML or JSON). One wrong record, and nothing is imported.

    An asset that is there already is brought up to date; its name is what identifies it.
    """
    from starter.cli.import_file import read
    from workflows.contracts.inventory import AssetSpec

    specs = read(file, "assets", AssetSpec)

    async def store() -> None:
        async with session.ledger() as ledger:
            result = await ledger.import_assets(specs)
        if session.out.is_json:
            session.out.json(result)
        else:
            session.out.line(f"assets: {result.created} new, {result.updated} changed, {result.unchanged} as before")

    wait_for(store())


@click.command("list", epilog=example("vulnzero asset list -o json"))
@asks_ledger
def list_(session: Session) -> None:
    """List all assets."""

    async def read() -> None:
        async with session.ledger() as ledger:
            found = await ledger.assets()
        if session.out.is_json:
            return session.out.json(found)
        if not found:
            return session.out.line("no assets yet: vulnzero asset import FILE")
        rows = [(one.id, one.name, one.address, one.platform, labels(one.labels)) for one in found]
        return session.out.table(("ID", "NAME", "ADDRESS", "PLATFORM", "LABELS"), rows)

    wait_for(read())


@click.command("show", epilog=example("vulnzero asset show web1"))
@click.argument("asset_id", metavar="ID")
@asks_ledger
def show(asset_id: str, session: Session) -> None:
    """Show one asset, by id or name."""

    async def read() -> None:
        async with session.ledger() as ledger:
            one = await ledger.asset(asset_id)
        if session.out.is_json:
            return session.out.json(one)
        services = (
            f"{service.name}" + (f" (GET :{service.probe.port}{service.probe.path})" if service.probe else "")
            for service in one.services
        )
        return session.out.fields(
            [
                ("id", str(one.id)), ("name", one.name), ("address", f"{one.address} port {one.port}"),
                ("user", one.user), ("connection", one.connection), ("platform", one.platform),
                ("labels", labels(one.labels)), ("services", ", ".join(services)), ("host key", one.host_key),
                ("credential", one.credential),
            ]
        )  # fmt: skip

    wait_for(read())


def labels(found: dict[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(found.items()))
