"""Is the service the one that is on disk, and does it answer?"""

import socket
import time
from http.client import HTTPConnection, HTTPException

PAUSE = 0.1


class Service:
    """A systemd unit."""

    def __init__(self, module, name):
        self.module, self.name = module, name

    def _show(self):
        wanted = "LoadState,ActiveState,SubState,ExecMainStartTimestampMonotonic,NeedDaemonReload"
        rc, out, _err = self.module.run_command(["systemctl", "show", "-p", wanted, "--", self.name])
        pairs = (line.split("=", 1) for line in out.splitlines() if "=" in line)
        return dict(pairs) if rc == 0 else {}

    def exists(self):
        return self._show().get("LoadState") not in (None, "not-found")

    def state(self):
        return self._show().get("ActiveState", "unknown")

    def evidence(self):
        shown = self._show()
        return {"name": self.name, "state": shown.get("ActiveState", "unknown"), "started": self._started(shown)}

    @staticmethod
    def _started(shown):
        """Start of the main process (wall clock, seconds), None when it never ran.

        Counted back from now on the monotonic clock: the wall clock that systemd noted may have been set since, and an
        hour's step would make a service look restarted that was not.
        """
        monotonic = int(shown.get("ExecMainStartTimestampMonotonic") or 0) / 1e6
        return time.time() - (time.clock_gettime(time.CLOCK_MONOTONIC) - monotonic) if monotonic else None

    def started_since(self, moment):
        """Active, and started after `moment`. Unknown times mean no: a restart too many harms less than one too few."""
        shown = self._show()
        started = self._started(shown)
        return shown.get("ActiveState") == "active" and None not in (started, moment) and started > moment

    def restart(self):
        """Errors are told by `started_since`, which asks for what is true rather than for what was promised."""
        if self._show().get("NeedDaemonReload") == "yes":
            self.module.run_command(["systemctl", "daemon-reload"])
        # A unit that failed too often in a row refuses to start before this.
        self.module.run_command(["systemctl", "reset-failed", "--", self.name])
        self.module.run_command(["systemctl", "restart", "--", self.name])


class HttpProbe:
    """GET on this host's own 127.0.0.1; no proxy, no redirect followed."""

    def __init__(self, probe):
        self.port, self.path, self.timeout = int(probe["port"]), probe["path"], float(probe["timeout"])
        self.status = int(probe.get("status", 200))
        self.url = f"http://127.0.0.1:{self.port}{self.path}"

    def _ask(self, timeout):
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", self.path)
            got = connection.getresponse().status
            return None if got == self.status else f"answered {got}"
        except socket.timeout:
            return "did not answer"
        except (OSError, HTTPException) as error:
            return "did not answer (%s)" % (getattr(error, "strerror", None) or type(error).__name__)
        finally:
            connection.close()

    def once(self):
        return self._ask(3) is None

    def wait(self):
        """Ask until the answer is good -> None, or the timeout is over -> a sentence that says what it was."""
        end = time.time() + self.timeout
        while True:
            trouble = self._ask(max(0.1, min(3, end - time.time())))
            if trouble is None:
                return None
            if time.time() + PAUSE >= end:
                return f"health probe {self.url} {trouble} for {self.timeout:g} s"
            time.sleep(PAUSE)
