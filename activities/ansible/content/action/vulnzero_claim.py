"""Asks the worker whether this host may start now; no connection to the host is made.

The worker keeps the answer back while it means "wait", so there is no timeout here: a host that gave up waiting
would be missed, and one that started without an answer would break every promise.
"""

from __future__ import annotations

import json
import pathlib
import socket

from ansible.plugins.action import ActionBase

NO_WORKER = "the worker went away"


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        host = self._task.args["host"]
        result.update(changed=False, **self._ask(host, self._task.args["socket"], self._task.args["mark"]))
        return result

    @staticmethod
    def _ask(host, path, mark):
        try:
            # The mark goes first: without it nobody could tell later a host that never asked from one that may have.
            pathlib.Path(mark).touch()
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.connect(path)
                connection.sendall(json.dumps({"host": str(host)}).encode() + b"\n")
                line = connection.makefile("rb").readline(65536)
        except OSError as error:
            return {"granted": False, "reason": f"{NO_WORKER} ({error.strerror or error})"}
        if not line.endswith(b"\n"):
            return {"granted": False, "reason": NO_WORKER}
        try:
            answer = json.loads(line)
            if answer["answer"] == "start":
                return {"granted": True, "fence": int(answer["fence"])}
            return {"granted": False, "reason": str(answer.get("reason") or "the worker said no")}
        except (ValueError, KeyError, TypeError, AttributeError):
            return {"granted": False, "reason": "the worker's answer was not understood"}
