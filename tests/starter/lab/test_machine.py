import itertools
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from starter.lab import image, machine, shell
from starter.lab.errors import LabError
from starter.lab.fleet import Fleet


def test_without_root_the_error_says_sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for attempt in (lambda: Fleet(7, tmp_path).up(1), Fleet(7, tmp_path).down, Fleet(7, tmp_path).status):
        with pytest.raises(LabError, match="sudo"):
            attempt()


def test_without_apt_the_error_names_the_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda command: None)
    with pytest.raises(LabError, match=r"mmdebstrap.*systemd-container.*no Debian or Ubuntu"):
        machine.require_tools(shell.silent)


def test_a_data_directory_whose_name_breaks_mount_options_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="choose a data directory without"):
        machine.require_overlay(tmp_path / "a:b")


def test_a_lock_file_that_its_holder_removed_does_not_let_two_in(tmp_path: Path) -> None:
    lock, inside, most = tmp_path / "lock", 0, 0
    errors: list[BaseException] = []

    def work() -> None:
        nonlocal inside, most
        try:
            for _ in range(20):
                with machine.locked(lock, shell.silent, "tests"):
                    inside += 1
                    most = max(most, inside)
                    inside -= 1
                    lock.unlink()
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert most == 1


def test_the_last_fleet_to_leave_gives_back_the_inotify_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "max_user_instances"
    limit.write_text("128\n")
    for name, value in {"INOTIFY": limit, "RUNTIME": tmp_path / "run", "SHARED": tmp_path / "shared"}.items():
        monkeypatch.setattr(machine, name, value)
    seen = []
    for number, hosts in [(1, 10), (2, 5), (1, 12), (1, 0), (1, 0), (2, 0)]:
        machine.want_inotify(number, hosts)
        seen.append(int(limit.read_text()))
    assert seen == [208, 248, 264, 168, 168, 128]
    assert not (tmp_path / "run/inotify.json").exists()


def test_a_long_command_is_never_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "QUIET_SECONDS", 0.2)
    said: list[tuple[float, str]] = []
    started = time.monotonic()
    script = "echo 'I: first step'; sleep 1; echo chatter"
    shell.sh_saying(["sh", "-c", script], lambda text: said.append((time.monotonic() - started, text)), "making")
    assert said[0][1].startswith("making: first step")
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(said)]
    assert len(said) >= 4
    assert max(gaps) < 0.5


def test_a_failed_command_gives_its_last_words_and_the_mend() -> None:
    with pytest.raises(LabError, match=r"failed: no such mirror\. Look at the network"):
        shell.sh_saying(["sh", "-c", "echo no such mirror; exit 3"], shell.silent, "x", mend="Look at the network")
    with pytest.raises(LabError, match="nonsense-command is not installed"):
        shell.sh("nonsense-command")


def test_a_half_made_base_image_is_removed_and_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SHARED", tmp_path)
    monkeypatch.setattr(image, "SHARED", tmp_path)
    half_made = tmp_path / f"making-{image.recipe_hash()}"
    (half_made / "rootfs").mkdir(parents=True)
    made: list[Path] = []
    monkeypatch.setattr(image, "_make", lambda at, say, lock: made.append(at.home))
    assert image.ensure(shell.silent).home.is_dir()
    assert image.ensure(shell.silent) == image.current()
    assert made == [half_made]
    assert not half_made.exists()


def test_two_processes_that_want_a_lock_take_turns_and_the_waiter_says_so(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from starter.lab import machine, shell\n"
        "with machine.locked(Path(sys.argv[1]), shell.silent, 'x'): print('in', flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", code, str(tmp_path / "lock")]
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        assert holder.stdin is not None
        holder.stdin.close()

    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "in\n"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(machine, "QUIET_SECONDS", 0.1)
            with machine.locked(tmp_path / "lock", say, "works on it"):
                assert holder.wait(5) == 0
    assert said
    assert said[0].startswith("waiting for another process that works on it")
