import subprocess
from pathlib import Path

import pytest

from starter.lab import image, packages


def test_the_repository_offers_all_three_versions(tmp_path: Path) -> None:
    packages.build_repository(tmp_path / "repo", tmp_path / "scratch")
    index = (tmp_path / "repo/Packages").read_text()
    stanzas = [dict(line.split(": ", 1) for line in stanza.splitlines()) for stanza in index.split("\n\n")]
    assert [stanza["Version"] for stanza in stanzas] == ["1.0.0", "1.0.1", "1.0.2"]
    for stanza in stanzas:
        deb = tmp_path / "repo" / stanza["Filename"]
        assert deb.stat().st_size == int(stanza["Size"])
    assert not (tmp_path / "scratch").exists()


@pytest.mark.parametrize("version", ["1.0.0", "1.0.1", "1.0.2"])
def test_the_daemon_is_valid_python_and_knows_its_version(version: str) -> None:
    source = packages.tree(version)["usr/sbin/acme-healthd"][0]
    compile(source, "acme-healthd", "exec")
    assert f'VERSION = "{version}"' in source


@pytest.mark.parametrize("name", ["DEBIAN/postinst", "DEBIAN/prerm", "usr/lib/acme-healthd/hold"])
def test_the_packages_scripts_are_valid_shell(name: str) -> None:
    script, mode = packages.tree("1.0.1")[name]
    assert mode == 0o755
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)


def test_a_changed_recipe_makes_another_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = image.recipe_hash()
    changed = tmp_path / "packages.py"
    changed.write_text(Path(packages.__file__).read_text() + "\n# changed\n")
    monkeypatch.setattr(packages, "__file__", str(changed))
    assert image.recipe_hash() != before
