"""What the kernel says about processes and ports (Linux /proc). Elsewhere every answer is "not known"."""

import socket
from pathlib import Path

PROC = Path("/proc")
_LISTEN = "0A"


def started(pid: int) -> int | None:
    """Tell one process from a later one that got the same pid: its start time in clock ticks since boot.

    None where there is no such process (a zombie counts as none) or no /proc.
    """
    try:
        # The command's name is in brackets and may hold spaces and brackets itself: count from the last one.
        state, *fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if state in "ZX" else int(fields[18])


def children(pid: int) -> list[int]:
    """The pids whose parent is `pid`, so that a kill reaches a server's backends too."""
    found = []
    for entry in PROC.glob("[0-9]*"):
        try:
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.name))
        except (OSError, ValueError, IndexError):
            continue
    return found


def command(pid: int) -> str:
    """The command line of `pid`, at most 120 characters, for a message; empty where it cannot be read."""
    try:
        line = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""
    return line if len(line) <= 120 else line[:117] + "..."


def working_in(folder: Path) -> list[int]:
    """The pids whose working directory is `folder`: how a PostgreSQL server and its backends are found."""
    place, found = folder.resolve(), []
    for entry in PROC.glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() == place and started(int(entry.name)) is not None:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def has_mounts(folder: Path) -> bool:
    """Whether something is mounted inside `folder`: the practice fleet's hosts are, for as long as they live."""
    try:
        lines = (PROC / "self/mountinfo").read_text().splitlines()
    except OSError:
        return False
    return any(folder.resolve() in Path(line.split()[4]).parents for line in lines)


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on `port` now. A port that only lingers in TIME_WAIT is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on at this moment; another process may take it before you do."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def holder(port: int) -> str:
    """Who listens on `port`, as "pid 42 (command)"; empty where it cannot be found (another user's process)."""
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    if not sockets:
        return ""
    for entry in PROC.glob("[0-9]*"):
        try:
            descriptors = list((entry / "fd").iterdir())
        except OSError:
            continue
        for descriptor in descriptors:
            try:
                if str(descriptor.readlink()) in sockets:
                    pid = int(entry.name)
                    return f"pid {pid} ({command(pid)})"
            except OSError:
                continue
    return ""


def _listening(port: int) -> set[str]:
    inodes = set()
    for table in (PROC / "net/tcp", PROC / "net/tcp6"):
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(fields[9])
    return inodes
