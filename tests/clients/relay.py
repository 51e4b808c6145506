"""From another address of this machine to a server on loopback."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def relayed(host: str, target: str, port: int = 0) -> AsyncIterator[str]:
    """Pass on what comes to ``host`` and ``port`` (0: any); the address to use, ``host:port``."""
    there, _, there_port = target.rpartition(":")

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(there, int(there_port))
        async with asyncio.TaskGroup() as both:
            both.create_task(pump(reader, there_writer))
            both.create_task(pump(there_reader, writer))

    server = await asyncio.start_server(pass_on, host, port)
    try:
        yield f"{host}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
