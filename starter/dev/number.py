"""One number per checkout, from which its ports, folders and names follow: two checkouts never meet."""

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from starter.dev import proc
from starter.dev.errors import StackError
from starter.dev.locks import exclusive, is_held

FIRST, LAST = 1, 249
# Others may pass through but not list: PostgreSQL runs as "nobody" and has to reach its own folder, whatever the umask
# of whoever made it.
PASSABLE = 0o711
TESTS = "#tests"
# Of a number that somebody asked for once: it must not become the checkout's own from then on.
ASKED = "#asked"
# Below the range from which Linux gives ports to outgoing connections (32768 and up), so none is taken by chance.
_BASE, _PER_NUMBER = 17000, 10


@dataclass(frozen=True)
class Place:
    """Where stack `number` lives: `data` is its folder, its ten ports begin at 17000 + 10 * number."""

    number: int
    data: Path

    @classmethod
    def of(cls, number: int, root: Path | None = None) -> "Place":
        """The place of `number` under `root` (default: default_root())."""
        return cls(number, (root or default_root()) / str(number))

    def port(self, index: int) -> int:
        """The `index`th (0..9) of this number's ports."""
        return _BASE + _PER_NUMBER * self.number + index

    @property
    def temporal_port(self) -> int:
        return self.port(0)

    @property
    def ui_port(self) -> int:
        return self.port(1)

    @property
    def postgres_port(self) -> int:
        return self.port(2)

    @property
    def api_port(self) -> int:
        return self.port(3)

    @property
    def worker_metrics_port(self) -> int:
        return self.port(4)

    @property
    def temporal_metrics_port(self) -> int:
        return self.port(5)

    @property
    def temporal_http_port(self) -> int:
        return self.port(6)

    @property
    def spare_ports(self) -> tuple[int, int, int]:
        """For what a test or the practice fleet needs besides (a proxy, a receiver)."""
        return self.port(7), self.port(8), self.port(9)


def default_root() -> Path:
    """Where numbers are kept: /var/lib/vulnzero for root, else ~/.local/share/vulnzero."""
    return Path("/var/lib/vulnzero") if os.geteuid() == 0 else Path.home() / ".local/share/vulnzero"


def allot(owner: str, root: Path | None = None, number: int | None = None) -> int:
    """Give `owner` (a checkout's path, or that path + "#tests") its number 1..249; the same owner gets the same one.

    `number` asks for that one. Raises StackError where it is another living checkout's, or all are taken.
    """
    root = root or default_root()
    if number is not None and not FIRST <= number <= LAST:
        raise StackError(f"stack number {number} is not between {FIRST} and {LAST}: set VULNZERO_NUMBER to one that is")
    _make_root(root)
    with exclusive(root / "numbers.lock"):
        owners = {n: _owner(root, n) for n in range(FIRST, LAST + 1)}
        if number is not None:
            return _insist(owner, number, owners[number], root)
        for n, who in owners.items():
            if who == owner:
                return n
        order = _order()
        for n in order:
            if owners[n] is None and not _runs(root, n):
                return _write(owner, n, root)
        # Only when nothing else is left: a path that is missing may be a disk that is not mounted today.
        for n in order:
            if _is_gone(owners[n]) and not _runs(root, n):
                return _reuse(owner, n, root)
    raise StackError(f"all {LAST} stack numbers under {root} are in use: remove the folder of one that you do not need")


def _make_root(root: Path) -> None:
    try:
        if not root.exists():
            root.mkdir(parents=True)
            root.chmod(PASSABLE)
    except OSError as error:
        raise StackError(f"cannot make {root} ({error.strerror}): make it yourself, or run as its owner") from error


def _order() -> list[int]:
    """Root begins at 1; other users begin apart from each other, since each has a root folder of its own."""
    first = 0 if os.geteuid() == 0 else os.geteuid() * 101 % LAST
    numbers = list(range(FIRST, LAST + 1))
    return numbers[first:] + numbers[:first]


def _owner(root: Path, number: int) -> str | None:
    try:
        return (root / str(number) / "owner").read_text().strip() or None
    except OSError:
        return None


def _is_gone(owner: str | None) -> bool:
    return owner is not None and not Path(owner.partition("#")[0]).exists()


def _insist(owner: str, number: int, holder: str | None, root: Path) -> int:
    if holder in (owner, owner + ASKED):
        return number
    if holder is None:
        return _write(owner + ASKED, number, root)
    if _is_gone(holder) and not _runs(root, number):
        return _reuse(owner + ASKED, number, root)
    raise StackError(
        f"stack number {number} belongs to {holder.removesuffix(ASKED)}: set VULNZERO_NUMBER to another, or unset it"
    )


def _runs(root: Path, number: int) -> bool:
    """Whether anything of `number` runs: it holds a *.lock in its folder, has a mount in it, or one of its ports."""
    place = Place.of(number, root)
    locks = (*place.data.glob("*.lock"), *place.data.glob("*/*.lock"))
    # Mounts: to remove the folder of a living practice host would empty its file system.
    if any(is_held(lock) for lock in locks) or proc.has_mounts(place.data):
        return True
    return not all(proc.is_free(place.port(index)) for index in range(_PER_NUMBER))


def _reuse(owner: str, number: int, root: Path) -> int:
    """Take over a number whose checkout is gone: what it kept is set aside, what its tests kept is thrown away."""
    folder = root / str(number)
    if (_owner(root, number) or "").endswith(TESTS):
        shutil.rmtree(folder)
    else:
        aside = root / "aside"
        aside.mkdir(mode=0o711, exist_ok=True)
        folder.rename(aside / f"{number}-{time.time_ns()}")
    return _write(owner, number, root)


def _write(owner: str, number: int, root: Path) -> int:
    folder = root / str(number)
    folder.mkdir(exist_ok=True)
    folder.chmod(PASSABLE)
    # In one step: half a name would hand the number to somebody else.
    fresh = folder / "owner.new"
    fresh.write_text(owner + "\n")
    fresh.replace(folder / "owner")
    return number
