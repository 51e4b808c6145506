"""Looking at the system calls of a server, and making one of them its last."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.life.process import Program


@asynccontextmanager
async def traced(program: Program, trace: Path | None, *options: str) -> AsyncIterator[None]:
    """Trace a halted program from its first step to its end, and let it go on."""
    output = "/dev/null" if trace is None else str(trace)
    command = ["strace", "-f", "-y", "-o", output, *options, "-p", str(program.process)]
    tracer = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    assert tracer.stderr is not None
    try:
        while b"attached" not in (line := await tracer.stderr.readline()):
            assert line, "strace gave up"
        # Nobody reads on, and it has nothing more to say than who comes and goes.
        draining = asyncio.create_task(tracer.stderr.read())
        program.signal(signal.SIGCONT)
        yield
        await program.kill()
        await draining
    finally:
        if not program.has_ended:
            tracer.kill()
        await tracer.wait()
