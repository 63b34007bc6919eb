"""Imports all that a batch needs of Ansible, once: every fork starts from this image.

Importing this module does it. The environment must hold Ansible's settings before: most are read at import and kept,
so a setting that differs from batch to batch must be set anew in the fork (`forked`) or come by the inventory.
"""

# ruff: noqa: F401
import importlib
import multiprocessing.popen_fork
import multiprocessing.queues
import multiprocessing.synchronize
import tomllib
import warnings
import xml.dom.minidom

import ansible.cli.playbook
import ansible.executor.module_common
import ansible.executor.playbook_executor
import ansible.executor.process.worker
import ansible.executor.task_queue_manager
import ansible.inventory.manager
import ansible.playbook.handler_task_include
import ansible.template
import ansible.vars.manager
import ansible_runner.interface
import jinja2
from ansible.plugins import loader

# What one batch was seen to load; `test_a_batch_finds_everything_imported` tells what is missing.
USED = {
    loader.action_loader: ["normal", "vulnzero_claim"],
    loader.cache_loader: ["memory"],
    # Not awx_display: it reads its batch's folder from the environment when it is imported.
    loader.callback_loader: ["default", "junit", "minimal", "oneline", "tree"],
    loader.inventory_loader: ["yaml"],
    loader.strategy_loader: ["host_pinned"],
}
# Every batch looks through all of these for options of its inventory's hosts.
SEARCHED = (loader.become_loader, loader.connection_loader, loader.shell_loader)


def load_plugins() -> None:
    """A plugin's documentation, which holds its options, is parsed with it; that costs more than the import."""
    loader.init_plugin_loader()
    # 150 ms of YAML: where each builtin plugin lives.
    for kind in ("action", "modules"):
        importlib.import_module(f"ansible_collections.ansible.builtin.plugins.{kind}")

    for plugins, names in USED.items():
        for name in names:
            plugins.get(name, class_only=True)
    for plugins in SEARCHED:
        list(plugins.all(class_only=True))
    # Not the class alone: this loader would keep it, and give a batch the class where it wants the plugin.
    loader.vars_loader.get("host_group_vars")
    loader.module_loader.find_plugin("vulnzero_patch")


load_plugins()
# Ansible's own command sets the collections up a second time and is warned that it need not.
warnings.filterwarnings("ignore", message="AnsibleCollectionFinder has already been configured")
