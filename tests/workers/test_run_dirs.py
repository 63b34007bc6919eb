"""What a killed worker left is removed by the next one, and nothing else is."""

from pathlib import Path

from workers import run_dirs
from workers.identity import this_process


def of(worker: str, run_dir: Path) -> Path:
    folder = run_dir / run_dirs._name(worker)
    (folder / "b1-x" / "inventory").mkdir(parents=True)
    return folder


def test_only_folders_of_certainly_dead_workers_are_removed(tmp_path: Path) -> None:
    machine, boot, pid, started = this_process().rsplit("/", 3)
    dead = [
        of(f"{machine}/{boot}/{pid}/1", tmp_path),
        of(f"{machine}/{boot}/{2**22 + 1}/{started}", tmp_path),
        of(f"{machine}/0ea71e40-0000-4000-8000-000000000000/{pid}/{started}", tmp_path),
    ]
    kept = [of(this_process(), tmp_path), of(f"another-machine/{boot}/{pid}/1", tmp_path), tmp_path / "somebody's"]
    kept[-1].mkdir()
    assert kept[0] == run_dirs.own(tmp_path)
    assert run_dirs.sweep(tmp_path) == len(dead)
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_a_run_folder_that_is_not_there_yet_is_no_trouble(tmp_path: Path) -> None:
    assert run_dirs.sweep(tmp_path / "nothing") == 0


def test_a_socket_in_it_is_not_too_long_for_linux() -> None:
    longest = f"{'m' * 32}/{'b' * 36}/{2**22}/{10**10}"
    path = Path("/run/vulnzero") / run_dirs._name(longest) / "b1234567-abcdefgh.sock"
    assert len(bytes(path)) < 107 - 20
