"""What large images cost: room on the disk, and none in memory."""

import asyncio
from pathlib import Path

from tests.life.environment import mirror_of
from tests.life.process import Nursery, order, resident, running_server
from tests.life.pulling import Client, client_of, gather_all
from tests.simulated_hub import SimulatedHub, blob

NAME = "library/large"
MEBIBYTE = 1024 * 1024
SIZE = 300 * MEBIBYTE
PATTERN = blob("mebibyte", MEBIBYTE) * 2
CLIENTS = 5
MOST = 48 * MEBIBYTE
"""What the server may grow by, whatever it sends."""


async def download(client: Client, digest: str) -> None:
    """Held against the pattern piece by piece: hashing it all would take longer than sending it."""
    position = 0
    async with client.session.get(f"{client.url}/v2/{NAME}/blobs/{digest}") as answer:
        async for chunk in answer.content.iter_any():
            start = position % MEBIBYTE
            assert chunk == PATTERN[start : start + len(chunk)]
            position += len(chunk)
    assert position == SIZE


async def watch(process: int, seen: list[int]) -> None:
    while True:
        seen.append(resident(process))
        await asyncio.sleep(0.02)


async def test_five_clients_and_300_megabytes(
    nursery: Nursery, tmp_path: Path, hub: SimulatedHub
) -> None:
    """Twice: from the upstream, and from the disk."""
    digest = hub.push_blob(NAME, PATTERN[:MEBIBYTE] * (SIZE // MEBIBYTE))
    async with (
        running_server(nursery, order(tmp_path, mirror_of(hub))) as server,
        client_of(server.url, patience=100) as client,
    ):
        process = server.program.process
        before, seen = resident(process), [0]
        watching = asyncio.create_task(watch(process, seen))
        await gather_all(download(client, digest) for _ in range(CLIENTS))
        await download(client, digest)
        watching.cancel()
        assert max(seen) - before < MOST
    assert hub.count("blob", "GET", digest=digest) == 1
