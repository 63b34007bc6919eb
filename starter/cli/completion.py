"""`vulnzero completion`: the script that makes a shell complete commands and options."""

import click
from click.shell_completion import get_completion_class

from starter.cli.options import Session, speaks

_HOW = {
    "bash": 'eval "$(vulnzero completion bash)"      in ~/.bashrc',
    "zsh": 'eval "$(vulnzero completion zsh)"       in ~/.zshrc',
    "fish": "vulnzero completion fish | source       in ~/.config/fish/config.fish",
}


@click.command(
    "completion",
    epilog="\b\nExample: vulnzero completion bash\n" + "\n".join(f"  {how}" for how in _HOW.values()),
)
@click.argument("shell", type=click.Choice(list(_HOW)))
@speaks
def completion(shell: str, session: Session) -> None:
    """Print the script that makes SHELL complete commands and options."""
    from starter.cli.main import root

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(root, {}, "vulnzero", "_VULNZERO_COMPLETE").source()
    if session.out.is_json:
        session.out.json({"shell": shell, "script": script})
    else:
        click.echo(script)
