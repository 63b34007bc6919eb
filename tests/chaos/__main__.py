"""`make chaos`: every crash at its named point, once or more, as a table and as JSON in .bench/chaos.json."""

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.chaos.points import HOSTS, POINTS, play
from tests.support.rig import Rig, running_rig

OUT = Path(".bench/chaos.json")


def _row(rig: Rig, name: str, seconds: float, state: str) -> dict[str, Any]:
    seen = [rig.evidence(index) for index in range(1, HOSTS + 1)]
    return {
        "point": name,
        "result": state,
        "hosts": HOSTS,
        "fixed and healthy": sum(one.version == "1.0.1" and one.healthy for one in seen),
        "configures": max(one.configured for one in seen),
        "starts": max(one.starts for one in seen),
        "overlaps": sum(one.overlaps() for one in seen),
        "orphans": len(rig.ansible_processes()),
        "seconds": round(seconds, 1),
    }


async def _play_all(rig: Rig, console: Console) -> list[dict[str, Any]]:
    rows = []
    for number, name in enumerate(POINTS, start=1):
        console.print(f"{number} of {len(POINTS)}: {name}")
        started = time.monotonic()
        running = await play(rig, name)
        state = (await running.result())["state"]
        seconds = time.monotonic() - started
        rig.stop_workers()
        rows.append(_row(rig, name, seconds, state))
    return rows


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(caption="configures and starts are the most that any one host saw of the fixed version")
    for column in rows[0]:
        table.add_column(column, justify="left" if column in ("point", "result") else "right")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    rounds = parser.parse_args().rounds
    console = Console()
    rows: list[dict[str, Any]] = []
    with running_rig() as rig:
        for _ in range(rounds):
            rows += asyncio.run(_play_all(rig, console))
    console.print(_table(rows))
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(rows, indent=1))
    console.print(f"written to {OUT}")


if __name__ == "__main__":
    main()
