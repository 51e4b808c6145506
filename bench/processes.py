"""Programs under measurement: started on a free port, ready before anything is sent, ended."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

READY_WITHIN = 20.0


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@asynccontextmanager
async def running(
    arguments: Sequence[str],
    port: int,
    *,
    environ: Mapping[str, str] | None = None,
    log: Path,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process, once something listens on the port; it is ended by its own id."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            env={**os.environ, **(environ or {})},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            await _listening(process, port, log)
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def _listening(process: asyncio.subprocess.Process, port: int, log: Path) -> None:
    async with asyncio.timeout(READY_WITHIN):
        while True:
            if process.returncode is not None:
                raise RuntimeError(f"{log.name} ended: {log.read_text()[-2000:]}")
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return


def resident_bytes(pid: int) -> int:
    """The memory a process holds, from /proc."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def mirror_command() -> Sequence[str]:
    return (str(Path(sys.executable).with_name("mirror")), "serve")
