"""Import files come from people: each fault names file, line, column, field and the mend."""

import json
from pathlib import Path

import pytest

from starter.cli.import_file import LIMIT_BYTES, read
from workflows.contracts.errors import InvalidRequest
from workflows.contracts.inventory import AssetSpec, PatchSpec

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0w"


def asset(name: str = "web1", more: str = "") -> str:
    head = f"  - name: {name}\n    address: 10.0.0.1\n    platform: debian\n"
    return f"{head}    host_key: {KEY}\n    credential: agent\n{more}"


def fault(tmp_path: Path, text: str | bytes, key: str = "assets", name: str = "in.yml") -> str:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidRequest) as raised:
        read(path, key, AssetSpec) if key == "assets" else read(path, key, PatchSpec)
    return str(raised.value).replace(f"{tmp_path}/", "")


def test_good_records_are_read_from_yaml_and_from_json(tmp_path: Path) -> None:
    yaml = tmp_path / "a.yml"
    yaml.write_text("assets:\n" + asset("web1", "    labels: {env: prod}\n") + asset("web2"))
    specs = read(yaml, "assets", AssetSpec)
    as_json = tmp_path / "a.json"
    as_json.write_text(json.dumps({"assets": [spec.model_dump(mode="json") for spec in specs]}, indent="\t"))
    assert read(as_json, "assets", AssetSpec) == specs
    assert [spec.name for spec in specs] == ["web1", "web2"]


def test_a_host_name_that_ansible_would_expand_is_refused_with_its_place(tmp_path: Path) -> None:
    said = fault(tmp_path, "assets:\n" + asset() + asset('"h[1:3]"'))
    assert said.startswith("in.yml:7:5: assets[1].name: 'h[1:3]' is no host name")


def test_a_label_that_is_a_jinja_template_is_refused_with_its_place(tmp_path: Path) -> None:
    template = "    labels:\n      env: \"{{ lookup('pipe', 'id') }}\"\n"
    said = fault(tmp_path, "assets:\n" + asset("web1", template))
    assert said.startswith("in.yml:8:7: assets[0].labels.env of web1:")
    assert "is no label value" in said


def test_malformed_yaml_names_line_and_column(tmp_path: Path) -> None:
    said = fault(tmp_path, "assets:\n  - name: a\n   address: b\n")
    assert said.startswith("in.yml:3:4: is no YAML")
    assert "check indent" in said


def test_malformed_json_names_line_and_column(tmp_path: Path) -> None:
    assert fault(tmp_path, '{"assets": [\n  {"name": "a",}]}', name="in.json").startswith("in.json:2:")


def test_a_number_where_text_is_needed_is_mended_by_quotes_round_what_was_written(tmp_path: Path) -> None:
    text = "patches:\n  - name: p\n    platforms:\n      debian:\n        package: x\n        version: 1.10\n"
    said = fault(tmp_path, text, "patches")
    assert said.startswith("in.yml:6:9: patches[0].platforms.debian.version of p:")
    assert said.endswith('put it in quotes: "1.10"')


def test_a_missing_field_says_what_to_add(tmp_path: Path) -> None:
    said = fault(tmp_path, "assets:\n" + asset().replace("    credential: agent\n", ""))
    assert said == "in.yml:2:5: assets[0].credential of web1: is missing; add 'credential: ...'"


def test_a_misspelt_field_names_those_that_are_known(tmp_path: Path) -> None:
    said = fault(tmp_path, "assets:\n" + asset("web1", "    lables: {}\n"))
    assert said.startswith("in.yml:7:5: assets[0].lables of web1: is no field that is known here; known are name,")


def test_one_asset_twice_names_both_lines(tmp_path: Path) -> None:
    said = fault(tmp_path, "assets:\n" + asset() + asset())
    assert said == "in.yml:7:5: assets[1].name: web1 is there twice, first in line 2; remove or rename one"


@pytest.mark.parametrize("name", ["in.yml", "in.json"])
def test_one_key_twice_in_a_record_is_refused(tmp_path: Path, name: str) -> None:
    assert "name: is written twice" in fault(tmp_path, '{"assets": [{"name": "a", "name": "b"}]}', name=name)


def test_further_faults_are_counted_so_that_nobody_mends_one_at_a_time_in_the_dark(tmp_path: Path) -> None:
    said = fault(tmp_path, "assets:\n" + asset('"a b"') + asset('"c d"') + asset('"e f"'))
    assert said.endswith("2 more of these records are wrong; nothing was imported")


def test_the_other_kind_of_file_is_recognised(tmp_path: Path) -> None:
    assert "use 'vulnzero patch import'" in fault(tmp_path, "patches: []\n")
    assert "use 'vulnzero asset import'" in fault(tmp_path, "assets: []\n", "patches")


@pytest.mark.parametrize("text", ["", "assets:\n", "assets: []\n", "- name: a\n", "assets: web1\n", "just words\n"])
def test_a_file_without_a_list_of_records_is_refused(tmp_path: Path, text: str) -> None:
    assert "in.yml:1:1" in fault(tmp_path, text)


def test_text_that_is_not_utf8_is_refused_with_its_place(tmp_path: Path) -> None:
    assert fault(tmp_path, b"assets:\n  - name: caf\xe9\n").startswith("in.yml:2:14: is no UTF-8 text here")


def test_a_file_beyond_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "big.yml"
    with path.open("wb") as file:
        file.truncate(LIMIT_BYTES + 1)
    with pytest.raises(InvalidRequest, match="at most 20 are read"):
        read(path, "assets", AssetSpec)


def test_yaml_that_would_run_code_is_refused(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    said = fault(tmp_path, f'assets: !!python/object/apply:os.system ["touch {marker}"]\n')
    assert "could not determine a constructor" in said
    assert not marker.exists()


def test_aliases_that_multiply_are_refused_before_they_are_made(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "stands for more than" in fault(tmp_path, "\n".join(lines))


def test_a_record_that_holds_itself_is_refused(tmp_path: Path) -> None:
    assert "refers to itself" in fault(tmp_path, "assets: &a [*a]\n")


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    for name in ("in.yml", "in.json"):
        assert name in fault(tmp_path, "[" * 5000 + "]" * 5000, name=name)


def test_labels_shared_by_a_merge_key_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yml"
    path.write_text(
        "assets:\n" + asset("web1", "    labels: &l {env: prod}\n") + asset("web2", "    labels: {<<: *l, zone: a}\n")
    )
    assert read(path, "assets", AssetSpec)[1].labels == {"env": "prod", "zone": "a"}


def test_a_file_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read: No such file"):
        read(tmp_path / "no.yml", "assets", AssetSpec)
