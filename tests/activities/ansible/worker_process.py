"""A worker in a process of its own, for tests that kill it: a job on stdin, the supervisor's pid on stdout."""

import asyncio
import sys

from activities.ansible.claims import ClaimServer
from activities.ansible.job import Job
from activities.ansible.runner import BatchRun
from tests.activities.ansible.support import yes


async def main() -> None:
    job = Job.model_validate_json(sys.stdin.read())
    async with ClaimServer(job.claim_socket, yes), BatchRun(job) as run:
        print(run.pid, flush=True)
        async for _ in run:
            pass


if __name__ == "__main__":
    asyncio.run(main())
