"""Clients that leave early, read nothing or come in masses: the others notice nothing."""

import asyncio
import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import aiohttp

from tests.life.environment import mirror_of
from tests.life.process import Nursery, open_files, order, resident, running_server
from tests.life.pulling import Client, client_of, gather_all
from tests.life.remains import PATIENCE, Remains, remains
from tests.simulated_hub import SimulatedHub, blob, digest_of, make_image, make_index
from tests.simulated_hub.raw_client import open_raw
from tests.world import Mirror, running_mirror

NAME = "library/app"
SIZE = 600_000
LAYER = blob("layer", SIZE)
IMAGE = make_index([make_image(layers=[LAYER])])
LAYER_PATH = f"/v2/{NAME}/blobs/{digest_of(LAYER)}"

LEAVING = 500
AT_ONCE = 50
NOT_READING = 300
MEMORY = 48 * 1024 * 1024
"""Bytes that hundreds of clients who do not read may cost."""


# Those who leave.


async def test_hundreds_leave_at_any_byte(tmp_path: Path, hub: SimulatedHub) -> None:
    """Of answers from the disk and of downloads that they have begun themselves."""
    hub.push(NAME, "1", IMAGE)
    cold = [hub.push_blob(NAME, blob(f"cold {each}", SIZE)) for each in range(40)]
    choices = random.Random(1)  # noqa: S311 - the same choices each time
    async with running_mirror(tmp_path, hub) as mirror, client_of(mirror.url) as client:
        await client.pull(NAME, "1", IMAGE)
        await gather_all(client.blob(NAME, digest) for digest in cold[:20])
        before = await quiet(hub)

        healthy = asyncio.create_task(pull_on(client))
        for _ in range(LEAVING // AT_ONCE):
            await gather_all(
                leave(mirror, choices.choice([digest_of(LAYER), *cold[20:]]), choices)
                for _ in range(AT_ONCE)
            )
        healthy.cancel()
        with suppress(asyncio.CancelledError):
            await healthy

        await no_more_than(before)
        for digest in cold[20:]:
            await client.blob(NAME, digest)
            assert hub.count("blob", "GET", digest=digest) <= 1


async def pull_on(client: Client) -> None:
    while True:
        await client.pull(NAME, "1", IMAGE)


async def leave(mirror: Mirror, digest: str, choices: random.Random) -> None:
    """After some bytes, now and then before the first, and without a goodbye."""
    headers = {"Range": f"bytes={choices.randrange(SIZE)}-"} if choices.random() < 0.5 else {}
    enough = choices.randrange(SIZE) if choices.random() < 0.9 else 0
    path = f"/v2/{NAME}/blobs/{digest}"
    reader, writer = await open_raw(mirror.url.removeprefix("http://"), path, **headers)
    with suppress(asyncio.IncompleteReadError):
        await reader.readexactly(enough)
    writer.transport.abort()


async def quiet(hub: SimulatedHub) -> Remains:
    await hub.wait_for(lambda: hub.open_requests == 0)
    await asyncio.sleep(0)
    return remains()


async def no_more_than(before: Remains) -> None:
    """What a departed client held is let go of, at some moment that no event tells."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    now = remains()
    while not is_no_more(now, before) and loop.time() < deadline:
        await asyncio.sleep(0.01)
        now = remains()
    assert is_no_more(now, before), (now, before)


def is_no_more(now: Remains, before: Remains) -> bool:
    return now.descriptors <= before.descriptors and now.tasks <= before.tasks


# Those who do not read.


@contextmanager
def deaf_clients(port: int, paths: list[str], count: int) -> Iterator[None]:
    """Clients who ask, and do not even read a status line."""
    sockets = []
    try:
        for number in range(count):
            each = socket.socket()
            sockets.append(each)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            each.connect(("127.0.0.1", port))
            each.send(f"GET {paths[number % len(paths)]} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        yield
    finally:
        for each in sockets:
            each.close()


async def test_hundreds_do_not_read(nursery: Nursery, tmp_path: Path, hub: SimulatedHub) -> None:
    """Of what is here, and of what comes only now."""
    hub.push(NAME, "1", IMAGE)
    cold = [hub.push_blob(NAME, blob(f"cold {each}", SIZE)) for each in range(10)]
    paths = [LAYER_PATH] * 10 + [f"/v2/{NAME}/blobs/{digest}" for digest in cold]
    environ = mirror_of(hub, more={"MIRROR__TIMEOUTS__WRITE": "2s"})
    async with (
        running_server(nursery, order(tmp_path, environ)) as server,
        client_of(server.url) as client,
    ):
        await client.pull(NAME, "1", IMAGE)
        process = server.program.process
        files, memory = len(open_files(process)), resident(process)
        with deaf_clients(server.port, paths, NOT_READING):
            for _ in range(5):
                await client.pull(NAME, "1", IMAGE)
            await gather_all(client.blob(NAME, digest) for digest in cold)
            assert resident(process) - memory < MEMORY
            # The kernel's own buffers hold a little for each, all else waits in files.
            await fewer_files(process, files + 20)
        await client.pull(NAME, "1", IMAGE)


async def fewer_files(process: int, most: int) -> None:
    """As the deaf are cut off, one after the other."""
    async with asyncio.timeout(PATIENCE):
        while len(open_files(process)) > most:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.05)


# More than there are descriptors for.


async def test_masses_of_connections(nursery: Nursery, tmp_path: Path, hub: SimulatedHub) -> None:
    """Who is connected is served as far as it goes, nothing is taken for lost, nothing spins."""
    hub.push(NAME, "1", IMAGE)
    at = order(tmp_path, mirror_of(hub), descriptors=64)
    async with (
        running_server(nursery, at) as server,
        client_of(server.url, patience=10) as client,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as healthy,
    ):
        await client.pull(NAME, "1", IMAGE)
        manifest = f"{server.url}/v2/{NAME}/manifests/1"
        async with healthy.get(manifest) as answer:
            assert answer.status == 200
        with deaf_clients(server.port, ["/v2/"], 150):
            await asyncio.sleep(0.2)
            used = cpu_seconds(server.program.process)
            async with healthy.get(manifest) as answer:
                assert await answer.read() == IMAGE.content
            async with healthy.get(server.url + LAYER_PATH) as answer:
                assert answer.status in (200, 404, 503)
                assert answer.status != 200 or await answer.read() == LAYER
            await asyncio.sleep(1)
            assert cpu_seconds(server.program.process) - used < 0.5
        await came_back(client)
        # What could not be opened for a moment may have been asked for; it is here all the same.
        asked = len(hub.requests)
        await client.pull(NAME, "1", IMAGE)
        assert len(hub.requests) == asked
        assert not list((tmp_path / "quarantine").iterdir())
        assert await server.program.stop() == 0


async def came_back(client: Client) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                await client.pull(NAME, "1", IMAGE)
                return


def cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
