"""Servers that come and go under load: clients that try again get all they want."""

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.life.aftermath import inspect_blobs, inspect_database
from tests.life.environment import mirror_of
from tests.life.process import Nursery, order, running_server
from tests.life.pulling import Client, PullFailed, client_of, gather_all
from tests.simulated_hub import Index, SimulatedHub, blob, make_image, make_index

BASE = blob("base", 200_000)
IMAGES: Mapping[str, Index] = {
    f"library/app{number}": make_index([make_image(layers=[BASE, blob(number, 400_000)])])
    for number in range(5)
}
CLIENTS = 10
PULLS = 8
"""Of each client."""

PATIENCE = 60.0
"""Seconds until a client gives up on an image."""


async def pull_patiently(client: Client, name: str) -> None:
    """Try again, soon, whatever went wrong. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(PullFailed):
                await client.pull(name, "1", IMAGES[name])
                return
            await asyncio.sleep(0.05)


async def work(url: str, seed: int) -> None:
    choices = random.Random(seed)  # noqa: S311 - the same choices each time
    async with client_of(url) as client:
        for _ in range(PULLS):
            await pull_patiently(client, choices.choice(list(IMAGES)))
            await asyncio.sleep(choices.uniform(0, 0.3))


async def test_no_pull_fails_at_last(nursery: Nursery, tmp_path: Path, hub: SimulatedHub) -> None:
    """Stopped in order or killed, the next server takes over at the same address."""
    for name, image in IMAGES.items():
        hub.push(name, "1", image)
    hub.bandwidth = 2_000_000
    environ = mirror_of(hub, freshness="0s", more={"MIRROR__TIMEOUTS__DRAIN": "1s"})
    port = 0
    load: asyncio.Future[None] | None = None
    lives = 0
    while load is None or not load.done():
        lives += 1
        listen = {"MIRROR__LISTEN": f"127.0.0.1:{port}"}
        async with running_server(nursery, order(tmp_path, environ | listen)) as server:
            if load is None:
                port = server.port
                load = asyncio.ensure_future(
                    gather_all(work(server.url, seed) for seed in range(CLIENTS))
                )
            await asyncio.wait({load}, timeout=0.4)
            if lives % 3 and not load.done():
                assert await server.program.stop() == 0
            elif not load.done():
                await server.program.kill()
    await load
    assert lives > 3
    inspect_blobs(tmp_path)
    inspect_database(tmp_path)
