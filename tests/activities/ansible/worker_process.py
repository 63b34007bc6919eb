"""A worker in a process of its own, for tests that kill it: a job on stdin, its supervisor's and zygote's pids out."""

import asyncio
import sys
from pathlib import Path

from activities.ansible.claims import ClaimServer
from activities.ansible.job import Job
from activities.ansible.runner import BatchRun
from activities.ansible.warm import Warm
from tests.activities.ansible.support import yes


async def main() -> None:
    job = Job.model_validate_json(sys.stdin.read())
    warm = Warm(Path(job.directory).parent / "warm")
    async with ClaimServer(job.claim_socket, yes), BatchRun(job, warm.launch) as run:
        print(run.pid, warm.pid, flush=True)
        async for _ in run:
            pass


if __name__ == "__main__":
    asyncio.run(main())
