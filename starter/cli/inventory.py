"""`vulnzero inventory`: the chosen assets, to use with Ansible itself."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from starter.cli.exits import wait_for
from starter.cli.options import Session, asks_ledger, example

if TYPE_CHECKING:
    from workflows.contracts.inventory import Asset


@click.command(
    "inventory", epilog=example("vulnzero inventory env=prod > prod.yml; ansible -i prod.yml zone_a -m ping")
)
@click.argument("selector")
@click.option(
    "--known-hosts", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="write the pinned keys there and refer to it; default: inside the inventory (needs OpenSSH 8.5 or newer)",
)  # fmt: skip
@asks_ledger
def inventory(selector: str, known_hosts: Path | None, session: Session) -> None:
    """Print an Ansible inventory of the assets that SELECTOR names, with a group per label: env=prod is env_prod.

    Host keys are pinned: ssh refuses another one. All values are marked as data, so none of them is run as a template.
    Save it under a name that ends in .yml (.json with -o json).
    """
    from starter.inventory import as_yaml, known_hosts_text
    from starter.inventory import inventory as made
    from workflows.contracts.errors import InvalidRequest

    async def read() -> "list[Asset]":
        async with session.ledger() as ledger:
            return await ledger.select(selector)

    assets = wait_for(read())
    file = known_hosts.resolve() if known_hosts else None
    if file is not None:
        try:
            file.write_text(known_hosts_text(assets), encoding="utf-8")
        except OSError as error:
            raise InvalidRequest(str(file), f"cannot be written: {error.strerror}", "choose another file") from None
    found = made(assets, file)
    if session.out.is_json:
        session.out.json(found)
    else:
        click.echo(as_yaml(found), nl=False)
