"""Whether a host answers over its network: sshd with its banner, /health with any HTTP status."""

import http.client
import socket
import time
from collections.abc import Iterable

from starter.lab.errors import LabError
from starter.lab.host import Host
from starter.lab.packages import HEALTH_PATH, HEALTH_PORT
from starter.lab.shell import QUIET_SECONDS, Say


def ssh_answers(address: str, timeout: float = 1.0) -> bool:
    """Whether an sshd greets on port 22."""
    try:
        with socket.create_connection((address, 22), timeout=timeout) as connection:
            connection.settimeout(timeout)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def health_answers(address: str, timeout: float = 1.0) -> bool:
    """Whether the daemon answers; a 500 is an answer too, for the broken version is part of practice."""
    connection = http.client.HTTPConnection(address, HEALTH_PORT, timeout=timeout)
    try:
        connection.request("GET", HEALTH_PATH)
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def wait_until_answering(hosts: Iterable[Host], seconds: float, say: Say) -> None:
    """Returns once every host answers; LabError at once for one that died, after `seconds` for one that is silent."""
    waiting = list(hosts)
    total = len(waiting)
    started = said = time.monotonic()
    while waiting:
        for host in list(waiting):
            if _ssh_and_health(host):
                waiting.remove(host)
            elif not host.alive():
                raise LabError(f"{host.name} stopped while it booted: {host.last_words()}")
            now = time.monotonic()
            if waiting and now - said >= QUIET_SECONDS:  # asked for each host: a round of silent ones takes long
                said = now
                say(f"{total - len(waiting)} of {total} hosts answer ({now - started:.0f} s)")
        if waiting and time.monotonic() - started > seconds:
            names = ", ".join(host.name for host in waiting[:5])
            raise LabError(
                f"{names} did not answer on ports 22 and {HEALTH_PORT} within {seconds:.0f} s: release its holds, or "
                f"reset it; its log is {waiting[0].log}"
            )
        time.sleep(0.05)


def _ssh_and_health(host: Host) -> bool:
    return ssh_answers(host.plan.address) and health_answers(host.plan.address)
