"""Coming up, healing, and going down, on real hosts."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from starter.lab import Fleet, LabError, answers, cgroup, machine
from tests.starter.lab.waiting import until

pytestmark = pytest.mark.fleet


def name(fleet: Fleet, index: int) -> str:
    return fleet.plan.host(index).name


def footprint(number: int) -> list[str]:
    """Everything on the machine that carries the fleet's number: mounts, namespaces, links, cgroups, processes."""
    names, bridge = f"lab{number}-h", f"vz{number}"
    found = [str(path) for path in Path("/run/netns").glob(f"{names}*")]
    found += [str(path) for path in Path("/sys/class/net").glob(f"{bridge}h*")]
    found += [bridge] if Path("/sys/class/net", bridge).exists() else []
    found += [str(path) for tree in cgroup.hierarchies() for path in tree.glob(f"vulnzero-{names}*")]
    found += [str(path) for path in Path("/run/systemd/nspawn").rglob(f"{names}*")]
    found += [str(path) for path in machine.RUNTIME.glob(f"fleet-{number}*")]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            texts = [(process / part).read_text(errors="replace") for part in ("cmdline", "mountinfo", "cgroup")]
            stat = (process / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if stat[0] not in "ZX" and any(names in text for text in texts):
            found.append(str(process))
    return found


def test_down_leaves_nothing_of_the_fleet(spare: Fleet) -> None:
    limit = machine.INOTIFY.read_text()
    spare.home.mkdir(parents=True)
    (spare.home / "notes").write_text("the user's own")
    spare.up(2)
    assert len(footprint(spare.plan.number)) > 6
    spare.down()
    until(lambda: footprint(spare.plan.number) == [], "nothing is left", 5)
    assert [path.name for path in spare.home.iterdir()] == ["notes"]
    assert machine.INOTIFY.read_text() == limit or list(machine.RUNTIME.glob("fleet-*"))
    spare.down()


def test_two_fleets_come_up_at_the_same_moment_and_one_leaves_without_the_other(fleet: Fleet, spare: Fleet) -> None:
    code = "import sys; from pathlib import Path; from starter.lab import Fleet; Fleet({}, Path({!r})).up(2)"
    fleet.power_off(1)
    fleet.power_off(2)
    runs = [code.format(one.plan.number, str(one.home.parent)) for one in (fleet, spare)]
    processes = [subprocess.Popen([sys.executable, "-c", run]) for run in runs]
    assert [process.wait(60) for process in processes] == [0, 0]
    for one in (fleet, spare):
        assert [host.state for host in one.status()] == ["running", "running"]
    spare.down()
    assert [host.state for host in fleet.status()] == ["running", "running"]
    until(lambda: footprint(spare.plan.number) == [], "nothing is left of the second", 5)


def test_up_heals_a_dead_host_over_the_same_disk_and_leaves_the_others_alone(fleet: Fleet) -> None:
    fleet.run(1, ["touch", "/etc/kept"])
    key, other = fleet.assets()["assets"][0]["host_key"], fleet.hosts()[1].init_pid()
    fleet.power_off(1)
    assert [host.state for host in fleet.status()] == ["dead", "running"]
    assert fleet.status()[0].version is None
    with pytest.raises(LabError, match=f"{name(fleet, 1)} is not running"):
        fleet.run(1, ["true"])
    fleet.up(2)
    assert [host.state for host in fleet.status()] == ["running", "running"]
    fleet.run(1, ["test", "-e", "/etc/kept"])
    assert fleet.assets()["assets"][0]["host_key"] == key
    assert fleet.hosts()[1].init_pid() == other


def test_up_heals_a_host_whose_keeper_alone_was_killed(fleet: Fleet) -> None:
    keeper = fleet.hosts()[0].keeper_pid()
    assert keeper is not None
    os.kill(keeper, signal.SIGKILL)
    until(lambda: fleet.status()[0].state == "dead", "the host counts as dead", 5)
    fleet.up(2)
    assert fleet.status()[0].state == "running"


def test_a_recorded_pid_that_now_belongs_to_a_stranger_is_never_killed(fleet: Fleet) -> None:
    host = fleet.hosts()[0]
    record, real = host.home / "keeper", (host.home / "keeper").read_text()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        started = Path(f"/proc/{stranger.pid}/stat").read_text().split()[21]
        record.write_text(f"{stranger.pid} {started}\n")
        assert host.keeper_pid() is None
        record.write_text(f"{real.split()[0]} 1\n")
        assert host.keeper_pid() is None
        record.write_text(f"{stranger.pid} {started}\n")
        fleet.power_off(1)
        assert stranger.poll() is None
        stranger.kill()
    fleet.up(2)


def test_a_number_that_another_data_directory_holds_is_refused(fleet: Fleet, tmp_path: Path) -> None:
    stranger = Fleet(fleet.plan.number, tmp_path)
    with pytest.raises(LabError, match=f"belongs to {fleet.home}: choose another number"):
        stranger.up(1)
    with pytest.raises(LabError, match=f"belongs to {fleet.home}: choose another number"):
        stranger.down()
    assert not stranger.home.exists()


def test_a_cut_host_runs_on_unreached_until_it_is_mended(fleet: Fleet) -> None:
    address = fleet.hosts()[0].plan.address
    fleet.cut(1)
    assert [host.state for host in fleet.status()] == ["unreachable", "running"]
    assert fleet.run(1, ["hostname"]).stdout == f"{name(fleet, 1)}\n"
    assert fleet.status()[0].version == "1.0.0"
    fleet.mend(1)
    until(lambda: answers.ssh_answers(address) and answers.health_answers(address), "the mended host answers", 5)


def test_a_reboot_comes_back_as_a_new_boot_with_one_more_start(fleet: Fleet) -> None:
    def boot_and_starts() -> tuple[str, int]:
        boot = fleet.run(1, ["cat", "/proc/sys/kernel/random/boot_id"]).stdout
        return boot, len(fleet.run(1, ["cat", "/var/log/acme-healthd.starts"]).stdout.splitlines())

    boot, starts = boot_and_starts()
    fleet.reboot(1)
    new_boot, new_starts = boot_and_starts()
    assert (new_boot != boot, new_starts) == (True, starts + 1)
    assert fleet.run(1, ["systemctl", "is-system-running", "--wait"], check=False).stdout == "running\n"


def test_a_reset_gives_a_fresh_disk_under_the_same_host_key(fleet: Fleet) -> None:
    key = fleet.assets()["assets"][1]["host_key"]
    fleet.run(2, ["apt-get", "install", "-qy", "acme-healthd=1.0.1"])
    assert fleet.status()[1].version == "1.0.1"
    fleet.reset(2)
    assert (fleet.status()[1].state, fleet.status()[1].version) == ("running", "1.0.0")
    assert fleet.assets()["assets"][1]["host_key"] == key


def test_ssh_gets_in_with_the_assets_key_and_finds_the_assets_host_key(fleet: Fleet, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    for asset in fleet.assets()["assets"]:
        known.write_text(f"{asset['address']} {asset['host_key']}\n")
        key = asset["credential"].removeprefix("file:")
        options = ["-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes"]
        ssh = ["ssh", "-F", "none", *options, "-i", key, f"root@{asset['address']}", "hostname"]
        assert subprocess.run(ssh, capture_output=True, text=True, check=True).stdout.strip() == asset["name"]
        with urllib.request.urlopen(f"http://{asset['address']}:8080/health", timeout=5) as answer:
            assert answer.status == 200


def test_a_command_that_takes_too_long_leaves_nothing_running(fleet: Fleet) -> None:
    with pytest.raises(LabError, match=r"sleep 987 took over 0\.3 s"):
        fleet.run(1, ["sleep", "987"], timeout=0.3)
    assert fleet.run(1, ["pgrep", "-f", "sleep 987"], check=False).stdout == ""


def test_a_failed_command_is_a_lab_error_with_its_words(fleet: Fleet) -> None:
    with pytest.raises(LabError, match=f"{name(fleet, 1)}: ls /nowhere ended with 2: ls: cannot access"):
        fleet.run(1, ["ls", "/nowhere"])
    assert fleet.run(1, ["ls", "/nowhere"], check=False).returncode == 2


def test_a_fleet_that_lost_its_files_is_swept_up_by_the_next_one(spare: Fleet, tmp_path: Path) -> None:
    lost = Fleet(spare.plan.number, tmp_path / "lost")
    lost.up(2)
    subprocess.run(["rm", "-rf", str(lost.home)], check=True)
    started = time.monotonic()
    spare.up(1)
    assert time.monotonic() - started < 20
    assert [host.name for host in spare.status()] == [name(spare, 1)]
    assert not Path("/run/netns", name(spare, 2)).exists()


def test_several_hosts_can_be_asked_at_once(fleet: Fleet) -> None:
    with ThreadPoolExecutor(4) as pool:
        names = list(pool.map(lambda index: fleet.run(index, ["hostname"]).stdout.strip(), [1, 2, 1, 2]))
    assert names == [name(fleet, 1), name(fleet, 2)] * 2


def test_an_up_that_was_killed_half_way_is_healed_by_the_next_one(spare: Fleet) -> None:
    fleet = f"Fleet({spare.plan.number}, Path({str(spare.home.parent)!r}))"
    code = f"from pathlib import Path; from starter.lab import Fleet; {fleet}.up(4)"
    with subprocess.Popen([sys.executable, "-c", code]) as first:
        until(lambda: len(list(spare.home.glob("hosts/h*/keeper"))) >= 2, "some hosts are started", 10)
        first.kill()
    spare.up(4)
    assert [host.state for host in spare.status()] == ["running"] * 4


def test_a_strict_umask_locks_nobody_out_of_a_host(spare: Fleet) -> None:
    before = os.umask(0o077)
    try:
        spare.up(1)
    finally:
        os.umask(before)
    as_nobody = ["setpriv", "--reuid=65534", "--clear-groups", "cat", "/etc/hosts", "/etc/machine-id"]
    assert name(spare, 1) in spare.run(1, as_nobody).stdout
