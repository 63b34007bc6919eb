"""`vulnzero patch`: what is put on machines."""

from pathlib import Path

import click

from starter.cli.exits import wait_for
from starter.cli.main import Entry, LazyGroup
from starter.cli.options import Session, asks_ledger, example

patch = LazyGroup(
    "patch",
    {
        "import": Entry("patches:import_", "from a YAML or JSON file, all or none"),
        "list": Entry("patches:list_", "all patches with their CVEs"),
        "show": Entry("patches:show", "one patch, by id or name"),
    },
    help="Patches: what deployments put on machines.\n\n" + example("vulnzero patch import patches.yml"),
)


@click.command("import", epilog=example("vulnzero patch import patches.yml"))
@click.argument("file", type=click.Path(path_type=Path))
@asks_ledger
def import_(file: Path, session: Session) -> None:
    """Import the list under `patches:` of FILE (YAML or JSON). One wrong record, and nothing is imported.

    A patch that is there already is brought up to date; its name is what identifies it.
    """
    from starter.cli.import_file import read
    from workflows.contracts.inventory import PatchSpec

    specs = read(file, "patches", PatchSpec)

    async def store() -> None:
        async with session.ledger() as ledger:
            result = await ledger.import_patches(specs)
        if session.out.is_json:
            session.out.json(result)
        else:
            session.out.line(f"patches: {result.created} new, {result.updated} changed, {result.unchanged} as before")

    wait_for(store())


@click.command("list", epilog=example("vulnzero patch list -o json"))
@asks_ledger
def list_(session: Session) -> None:
    """List all patches."""

    async def read() -> None:
        async with session.ledger() as ledger:
            found = await ledger.patches()
        if session.out.is_json:
            return session.out.json(found)
        if not found:
            return session.out.line("no patches yet: vulnzero patch import FILE")
        rows = [(one.id, one.name, one.severity, ",".join(one.cves), one.title) for one in found]
        return session.out.table(("ID", "NAME", "SEVERITY", "CVES", "TITLE"), rows)

    wait_for(read())


@click.command("show", epilog=example("vulnzero patch show acme-healthd-1.0.1"))
@click.argument("patch_id", metavar="ID")
@asks_ledger
def show(patch_id: str, session: Session) -> None:
    """Show one patch, by id or name."""

    async def read() -> None:
        async with session.ledger() as ledger:
            one = await ledger.patch(patch_id)
        if session.out.is_json:
            return session.out.json(one)
        platforms = (f"{name}: {package.package} {package.version}" for name, package in sorted(one.platforms.items()))
        return session.out.fields(
            [
                ("id", str(one.id)), ("name", one.name), ("title", one.title), ("severity", one.severity),
                ("cves", ", ".join(one.cves)), ("platforms", ", ".join(platforms)), ("service", one.service or ""),
            ]
        )  # fmt: skip

    wait_for(read())
