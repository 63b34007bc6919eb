"""Assets as an inventory for Ansible itself, with the trust that a deployment has: the pinned key and nothing else.

Ansible takes what an inventory holds for templates. Every string goes in marked as data, whatever an import already
refused: a label of `{{ lookup('pipe', ...) }}` would run on the machine that reads the inventory.
"""

import hashlib
import re
import shlex
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from activities.ansible.inventory import AGENT, unsafe
from workflows.contracts.inventory import Asset

_MARK = "__ansible_unsafe"


def inventory(assets: Sequence[Asset], known_hosts: Path | None = None) -> dict[str, Any]:
    """In the JSON form that Ansible's loader knows, for a file that ends in .json; a group per label, `key_value`.

    `known_hosts`: the file that holds the keys. None: they are in the inventory, which needs OpenSSH 8.5 or newer.
    """
    children = {group: {"hosts": dict.fromkeys(names)} for group, names in sorted(groups(assets).items())}
    hosts = {asset.name: unsafe(_variables(asset, known_hosts)) for asset in assets}
    return {"all": {"hosts": hosts, "children": children}}


def as_yaml(found: dict[str, Any]) -> str:
    return yaml.dump(_tagged(found), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)


def known_hosts_text(assets: Sequence[Asset]) -> str:
    """One pinned key a host, under its name: an address that changes hands does not bring its key along."""
    return "".join(f"{asset.name} {_key(asset)}\n" for asset in assets)


def groups(assets: Sequence[Asset]) -> dict[str, list[str]]:
    """Host names by group. Labels that would make one group of two, or a group named as a host, get a suffix."""
    by_label: dict[tuple[str, str], list[str]] = defaultdict(list)
    for asset in assets:
        for label in asset.labels.items():
            by_label[label].append(asset.name)
    claims: dict[str, int] = defaultdict(int, dict.fromkeys((asset.name for asset in assets), 1))
    for label in by_label:
        claims[_group(*label)] += 1
    return {
        (name if claims[name := _group(*label)] == 1 else f"{name}_{_short_hash(*label)}"): hosts
        for label, hosts in by_label.items()
    }


def _group(key: str, value: str) -> str:
    """Letters, digits and underscores alone, beginning with a letter: what Ansible takes without a warning."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", f"{key}_{value}")
    return name if name[0].isalpha() else f"_{name}"


def _short_hash(*words: str) -> str:
    return hashlib.sha256("=".join(words).encode()).hexdigest()[:10]


def _variables(asset: Asset, known_hosts: Path | None) -> dict[str, Any]:
    variables: dict[str, Any] = {
        "ansible_connection": "ssh",
        "ansible_host": asset.address,
        "ansible_port": asset.port,
        "ansible_user": asset.user,
        "ansible_python_interpreter": "auto_silent",
        # Of this very key: a connection that Ansible keeps open must not serve a host whose pinned key has changed.
        "ansible_control_path": f"%(directory)s/{_short_hash(asset.name, _key(asset))}",
        "ansible_ssh_common_args": shlex.join(_trust(asset, known_hosts)),
        "vulnzero": {
            "id": asset.id, "platform": asset.platform, "labels": asset.labels,
            "services": [service.name for service in asset.services],
        },
    }  # fmt: skip
    if asset.credential != AGENT:
        variables["ansible_ssh_private_key_file"] = asset.credential.removeprefix("file:")
    return variables


def _trust(asset: Asset, known_hosts: Path | None) -> list[str]:
    options = ["StrictHostKeyChecking=yes", f"HostKeyAlias={asset.name}", "GlobalKnownHostsFile=/dev/null"]
    if known_hosts is None:
        options += ["UserKnownHostsFile=/dev/null", f"KnownHostsCommand=/bin/echo {asset.name} {_key(asset)}"]
    else:
        options.append(f'UserKnownHostsFile="{known_hosts}"')
    if asset.credential != AGENT:
        # A key that is lying in an agent must not open what this host's own key does not.
        options += ["IdentitiesOnly=yes", "IdentityAgent=none"]
    return [word for option in options for word in ("-o", option)]


def _key(asset: Asset) -> str:
    """Without its comment, which may hold anything that is no space."""
    return " ".join(asset.host_key.split()[:2])


class _Data(str):
    """Text that Ansible must not look into."""


# Written in C where the wheel has it (it does): a thousand hosts take a tenth of a second instead of one.
_Base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_Base):  # type: ignore[misc]
    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(_Data, lambda dumper, data: dumper.represent_scalar("!unsafe", str(data), style='"'))


def _tagged(value: Any) -> Any:
    """From Ansible's JSON form to its YAML tag."""
    if isinstance(value, dict):
        return _Data(value[_MARK]) if value.keys() == {_MARK} else {key: _tagged(item) for key, item in value.items()}
    return [_tagged(item) for item in value] if isinstance(value, list) else value
