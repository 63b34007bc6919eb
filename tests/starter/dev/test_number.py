import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from starter.dev import proc
from starter.dev.errors import StackError
from starter.dev.locks import FolderLock
from starter.dev.number import FIRST, LAST, TESTS, Place, allot
from starter.dev.scratch import scratch_folder


def checkout(folder: Path, name: str) -> str:
    path = folder / "checkouts" / name
    path.mkdir(parents=True, exist_ok=True)
    return str(path)


def fill(root: Path, owner: str) -> None:
    for number in range(FIRST, LAST + 1):
        (root / str(number)).mkdir(parents=True)
        (root / str(number) / "owner").write_text(f"{owner}\n")


def test_the_same_checkout_gets_the_same_number_again(folder: Path) -> None:
    owner = checkout(folder, "a")
    assert allot(owner, folder / "root") == allot(owner, folder / "root")


def test_a_checkout_and_its_tests_have_numbers_of_their_own(folder: Path) -> None:
    owner = checkout(folder, "a")
    assert allot(owner, folder / "root") != allot(owner + TESTS, folder / "root")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.sampled_from("abcdefgh"), max_size=12))
def test_whatever_the_order_no_two_checkouts_share_a_number(names: list[str], quiet_ports: None) -> None:
    with scratch_folder() as folder:
        given_to: dict[str, int] = {}
        for name in names:
            number = allot(checkout(folder, name), folder / "root")
            assert FIRST <= number <= LAST
            assert given_to.setdefault(name, number) == number
        assert len(set(given_to.values())) == len(given_to)


def test_many_processes_at_once_get_different_numbers_and_one_owner_gets_one(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from starter.dev.number import allot;"
        "sys.stdin.readline(); print(allot(sys.argv[1], Path(sys.argv[2])))"
    )
    owners = [checkout(folder, name) for name in "abcdef"] * 2
    argv = [sys.executable, "-c", code]
    root = str(folder / "root")
    processes = [
        subprocess.Popen([*argv, owner, root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for owner in owners
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    numbers = [int(process.communicate(timeout=30)[0]) for process in processes]
    assert numbers[:6] == numbers[6:]
    assert len(set(numbers)) == 6


def test_a_number_whose_ports_are_in_use_is_passed_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "is_free", lambda port, host="": True)
    first = allot(checkout(folder, "a"), folder / "one")
    taken = Place.of(first).port(4)
    monkeypatch.setattr(proc, "is_free", lambda port, host="": port != taken)
    assert allot(checkout(folder, "a"), folder / "two") != first


def test_the_number_of_a_checkout_that_is_gone_is_kept_while_others_are_free(folder: Path, quiet_ports: None) -> None:
    owner = checkout(folder, "a")
    number = allot(owner, folder / "root")
    Path(owner).rmdir()
    assert allot(checkout(folder, "b"), folder / "root") != number


def test_when_all_are_taken_one_whose_checkout_is_gone_is_reused_and_its_data_set_aside(
    folder: Path, quiet_ports: None
) -> None:
    root = folder / "root"
    fill(root, checkout(folder, "a"))
    (root / "7" / "owner").write_text("/no/such/checkout\n")
    (root / "7" / "precious").write_text("data")
    assert allot(checkout(folder, "b"), root) == 7
    assert not (root / "7" / "precious").exists()
    assert [path.read_text() for path in root.glob("aside/7-*/precious")] == ["data"]


def test_what_the_tests_of_a_checkout_that_is_gone_kept_is_thrown_away(folder: Path, quiet_ports: None) -> None:
    root = folder / "root"
    fill(root, checkout(folder, "a"))
    (root / "7" / "owner").write_text(f"/no/such/checkout{TESTS}\n")
    assert allot(checkout(folder, "b"), root) == 7
    assert not (root / "aside").exists()


def test_a_number_of_which_something_still_runs_is_not_reused(folder: Path, quiet_ports: None) -> None:
    root = folder / "root"
    fill(root, "/no/such/checkout")
    locks = [FolderLock(root / str(number) / "x.lock", "x") for number in range(FIRST, LAST + 1)]
    for lock in locks:
        lock.take()
    try:
        with pytest.raises(StackError, match=r"all 249 stack numbers under .* are in use: remove"):
            allot(checkout(folder, "b"), root)
        locks[8].release()
        assert allot(checkout(folder, "b"), root) == 9
    finally:
        for lock in locks:
            lock.release()


def test_a_number_in_whose_folder_something_is_mounted_is_not_reused(
    folder: Path, quiet_ports: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder / "root"
    fill(root, f"/no/such/checkout{TESTS}")
    monkeypatch.setattr(proc, "PROC", folder / "proc")
    (folder / "proc/self").mkdir(parents=True)
    mounted = "".join(f"1 1 0:1 / {root.resolve()}/{number}/lab/h1 rw - x x rw\n" for number in range(FIRST, LAST))
    (folder / "proc/self/mountinfo").write_text(mounted)
    assert allot(checkout(folder, "b"), root) == LAST
    with pytest.raises(StackError, match="stack number 5 belongs to"):
        allot(checkout(folder, "c"), root, number=5)


def test_a_number_that_is_asked_for_is_given_unless_another_living_checkout_has_it(folder: Path) -> None:
    root = folder / "root"
    assert allot(checkout(folder, "a"), root, number=200) == 200
    assert allot(checkout(folder, "a"), root, number=200) == 200
    with pytest.raises(StackError, match=r"stack number 200 belongs to .*/a: set VULNZERO_NUMBER"):
        allot(checkout(folder, "b"), root, number=200)


def test_a_number_that_was_asked_for_once_is_not_the_checkouts_own_from_then_on(folder: Path) -> None:
    root, mine = folder / "root", checkout(folder, "a")
    own = allot(mine, root)
    other = FIRST if own != FIRST else FIRST + 1
    assert allot(mine, root, number=other) == other
    assert allot(mine, root) == own


@pytest.mark.parametrize("number", [-1, 0, 250])
def test_a_number_out_of_range_is_refused(folder: Path, number: int) -> None:
    with pytest.raises(StackError, match="is not between 1 and 249: set VULNZERO_NUMBER"):
        allot(checkout(folder, "a"), folder / "root", number=number)


def test_no_two_numbers_share_a_port_and_none_is_in_the_range_for_outgoing_connections() -> None:
    ports = [Place.of(number).port(index) for number in range(FIRST, LAST + 1) for index in range(10)]
    assert len(set(ports)) == len(ports)
    assert min(ports) > 1024
    assert max(ports) < 32768


def test_a_folder_that_cannot_be_made_is_named(folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(StackError, match=r"cannot make .*/file/root"):
        allot("/a", folder / "file" / "root")
