"""The practice fleet: systemd hosts on one machine that take real patches and real crashes."""

from starter.lab.errors import LabError
from starter.lab.fleet import Fleet, HostStatus

__all__ = ["Fleet", "HostStatus", "LabError"]
