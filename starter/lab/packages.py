"""The practice package acme-healthd: 1.0.0 (vulnerable), 1.0.1 (fixed), 1.0.2 (its /health fails), and its repository.

The hold points that crash tests need live here and never in VulnZero itself. Each is a no-op unless the file
/var/lib/acme-healthd/hold-<point> exists on the host; one that is reached writes "<point> <pid>" to HELD_MARKER.
"""

import gzip
import hashlib
import shutil
from pathlib import Path

from starter.lab.shell import sh

PACKAGE = "acme-healthd"
VULNERABLE, FIXED, BROKEN = "1.0.0", "1.0.1", "1.0.2"
HEALTH_PORT, HEALTH_PATH = 8080, "/health"

HOLD_POINTS = ("unpacked", "installed", "restarted")
HOLD_DIR = "var/lib/acme-healthd"
HELD_MARKER = "run/acme-healthd.held"
HOLD_SCRIPT = "/usr/lib/acme-healthd/hold"
STARTS_LOG = "var/log/acme-healthd.starts"

CONTROL = """\
Package: acme-healthd
Version: {version}
Architecture: all
Maintainer: Practice Fleet <lab@example.test>
Depends: python3
Section: net
Priority: optional
Description: tiny daemon with a health endpoint
"""

DAEMON = '''\
#!/usr/bin/python3 -S
"""Answers /health with its status and version; notes each start, so that a test can count them."""
import datetime, json, os, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

VERSION = "{version}"
HOLD, HELD = "/var/lib/acme-healthd/hold-restarted", "/run/acme-healthd.held"
released = threading.Event()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/health":
            self.send_error(404)
            return
        released.wait()
        bad = VERSION == "1.0.2"
        body = json.dumps({{"status": "fail" if bad else "ok", "version": VERSION}}).encode()
        self.send_response(500 if bad else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def wait_for_release():
    while os.path.exists(HOLD):
        time.sleep(0.1)
    released.set()
    try:
        os.unlink(HELD)
    except FileNotFoundError:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self):
        TCPServer.server_bind(self)  # HTTPServer's own would look up this host's name first
        self.server_name, self.server_port = "acme-healthd", 8080


server = Server(("0.0.0.0", 8080), Handler)
with open("/var/log/acme-healthd.starts", "a") as log:
    log.write(f"{{datetime.datetime.now(datetime.timezone.utc).isoformat()}} {{VERSION}} {{os.getpid()}}\\n")
    log.flush()
    os.fsync(log.fileno())
# Only a daemon that starts while the hold is set is held: the old one still answers when a test sets it beforehand.
if os.path.exists(HOLD):
    with open(HELD + ".new", "w") as marker:
        marker.write(f"restarted {{os.getpid()}}")
    os.rename(HELD + ".new", HELD)
    threading.Thread(target=wait_for_release, daemon=True).start()
else:
    released.set()
server.serve_forever()
'''

# A start limit would refuse the sixth restart within ten seconds, which a busy test would take for a patch gone wrong.
UNIT = """\
[Unit]
Description=tiny health daemon
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/sbin/acme-healthd
Restart=on-failure
[Install]
WantedBy=multi-user.target
"""

HOLD = """\
#!/bin/sh
# Waits at point $1 while a test holds it; does nothing otherwise.
hold=/var/lib/acme-healthd/hold-$1
held=/run/acme-healthd.held
[ -e "$hold" ] || exit 0
echo "$1 $$" > $held.new && mv $held.new $held
while [ -e "$hold" ]; do sleep 0.1; done
rm -f $held
"""

# An upgrade does not restart the service: that is the patcher's work, and what a crash test must find undone.
POSTINST = """\
#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
/usr/lib/acme-healthd/hold unpacked
[ ! -d /run/systemd/system ] || systemctl daemon-reload
[ -z "$2" ] || exit 0
systemctl enable -q acme-healthd
[ ! -d /run/systemd/system ] || systemctl start acme-healthd
"""

PRERM = """\
#!/bin/sh
set -e
[ "$1" != remove ] || [ ! -d /run/systemd/system ] || systemctl stop acme-healthd
"""


def tree(version: str) -> dict[str, tuple[str, int]]:
    """The package's files: path inside the package -> (text, mode)."""
    return {
        "DEBIAN/control": (CONTROL.format(version=version), 0o644),
        "DEBIAN/postinst": (POSTINST, 0o755),
        "DEBIAN/prerm": (PRERM, 0o755),
        "usr/sbin/acme-healthd": (DAEMON.format(version=version), 0o755),
        "usr/lib/acme-healthd/hold": (HOLD, 0o755),
        "lib/systemd/system/acme-healthd.service": (UNIT, 0o644),
    }


def write_tree(root: Path, files: dict[str, tuple[str, int]]) -> None:
    """Writes files of path -> (text, mode) below `root`, with plain 0755 directories whatever the umask."""
    for name, (text, mode) in files.items():
        path = root / name
        make_directory(root, path.parent)
        path.write_text(text)
        path.chmod(mode)


def make_directory(root: Path, path: Path) -> None:
    """Makes `path` and its missing parents below `root`, 0755 each: a strict umask would lock daemons out of them."""
    for parent in [*reversed(path.relative_to(root).parents), path.relative_to(root)]:
        if not (root / parent).is_dir():
            (root / parent).mkdir()
            (root / parent).chmod(0o755)


def build_repository(repo: Path, scratch: Path) -> None:
    """Builds the three packages and a flat apt index into `repo`; `scratch` is emptied before and removed after."""
    repo.mkdir(parents=True)
    repo.chmod(0o755)
    index = []
    for version in (VULNERABLE, FIXED, BROKEN):
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        scratch.chmod(0o755)
        write_tree(scratch, tree(version))
        make_directory(scratch, scratch / HOLD_DIR)
        deb = repo / f"{PACKAGE}_{version}_all.deb"
        sh("dpkg-deb", "--root-owner-group", "-Znone", "--build", str(scratch), str(deb))
        index.append(_index_entry(CONTROL.format(version=version), deb))
    shutil.rmtree(scratch)
    (repo / "Packages").write_text("\n".join(index))
    (repo / "Packages.gz").write_bytes(gzip.compress((repo / "Packages").read_bytes(), mtime=0))


def _index_entry(control: str, deb: Path) -> str:
    content = deb.read_bytes()
    return (
        f"{control}Filename: ./{deb.name}\nSize: {len(content)}\n"
        f"MD5sum: {hashlib.md5(content, usedforsecurity=False).hexdigest()}\n"
        f"SHA256: {hashlib.sha256(content).hexdigest()}\n"
    )
