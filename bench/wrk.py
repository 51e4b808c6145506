"""wrk, and what it says."""

import asyncio
import re
import shutil
from dataclasses import dataclass

from bench.load import ACCEPT

UNITS = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}


@dataclass(frozen=True, slots=True)
class Rate:
    """Per second."""

    requests: float
    bytes: float


async def measure(url: str, *, connections: int, seconds: int) -> Rate:
    program = shutil.which("wrk")
    if program is None:
        raise RuntimeError("the bench needs wrk: install it (Debian: apt-get install wrk)")
    process = await asyncio.create_subprocess_exec(
        program,
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "-H",
        f"Accept: {ACCEPT}",
        url,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return parse(output.decode())


def parse(report: str) -> Rate:
    """Raises RuntimeError when not every answer was a success."""
    failures = re.search(r"Non-2xx or 3xx responses: (\d+)", report)
    requests = re.search(r"Requests/sec:\s+([\d.]+)", report)
    transfer = re.search(r"Transfer/sec:\s+([\d.]+)([KMG]?B)", report)
    if failures or requests is None or transfer is None:
        raise RuntimeError(f"wrk met errors:\n{report}")
    return Rate(float(requests[1]), float(transfer[1]) * UNITS[transfer[2]])
