"""The shell completes commands and options by the script that `vulnzero completion` prints."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.starter.cli.conftest import Vulnzero


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_for_vulnzero(vulnzero: Vulnzero, shell: str) -> None:
    code, out, _ = vulnzero("completion", shell)
    assert code == 0
    assert f"_VULNZERO_COMPLETE={shell}_complete" in out


@pytest.mark.parametrize(
    ("words", "completed"),
    [("vulnzero pl", ["plan"]), ("vulnzero asset i", ["import"]), ("vulnzero plan --batch", ["--batch-size"])],
)
def test_bash_completes_with_it(words: str, completed: list[str]) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    parts = words.split()
    script = (
        'eval "$(vulnzero completion bash)"; COMP_WORDS=(' + " ".join(parts) + f"); COMP_CWORD={len(parts) - 1}; "
        '_vulnzero_completion vulnzero; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run([bash, "-c", script], capture_output=True, text=True, env=os.environ | {"PATH": path})
    assert done.stdout.split() == completed, done.stderr
