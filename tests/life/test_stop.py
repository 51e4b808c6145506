"""Stopping: at once for those who wait for nothing, in order for those who are being answered."""

import asyncio
import re
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import aiohttp
import pytest

from tests.life.environment import mirror_of
from tests.life.process import Nursery, Server, order, running_server
from tests.life.pulling import client_of
from tests.simulated_hub import Fault, SimulatedHub, blob, digest_of, make_image, make_index
from tests.simulated_hub.raw_client import hang_up, open_raw
from tests.world import running_mirror

STOPPING = re.compile("stopping")
LAYER = blob("layer", 3_000_000)
IMAGE = make_index([make_image(layers=[LAYER])])
NGINX = "library/nginx"
PATH = f"/v2/{NGINX}/blobs/{digest_of(LAYER)}"


@asynccontextmanager
async def server_of(
    nursery: Nursery, data: Path, hub: SimulatedHub, drain: str = "10s"
) -> AsyncIterator[Server]:
    hub.push(NGINX, "1", IMAGE)
    environ = mirror_of(hub, more={"MIRROR__TIMEOUTS__DRAIN": drain})
    async with running_server(nursery, order(data, environ)) as server:
        yield server


async def refusing(server: Server) -> None:
    """Return once nobody gets in any more, which is at once: it says so just before."""
    async with asyncio.timeout(30):
        with suppress(ConnectionRefusedError):
            while True:
                # Whoever was in the queue of the listener when it closed is reset.
                with suppress(ConnectionResetError):
                    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
                    await hang_up(writer)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_answer_under_way_is_finished(
    nursery: Nursery, tmp_path: Path, hub: SimulatedHub, number: int
) -> None:
    """The client gets the rest of a download that has only begun, and nobody new gets in."""
    hub.faults.add(Fault(route="blob", reference=digest_of(LAYER), kind="stall", at=1_000_000))
    async with server_of(nursery, tmp_path, hub) as server, client_of(server.url) as client:
        download = asyncio.create_task(client.blob(NGINX, digest_of(LAYER)))
        await hub.wait_for(lambda: hub.stalled == 1)

        server.program.signal(number)
        await server.program.printed(STOPPING)
        await refusing(server)
        assert not download.done()
        hub.release()

        assert await download == LAYER
        assert await server.program.ended() == 0


async def test_what_takes_too_long_is_cut_off(
    nursery: Nursery, tmp_path: Path, hub: SimulatedHub
) -> None:
    hub.faults.add(Fault(route="blob", reference=digest_of(LAYER), kind="stall", at=1_000_000))
    loop = asyncio.get_running_loop()
    async with (
        server_of(nursery, tmp_path, hub, "1s") as server,
        client_of(server.url) as client,
        client.session.get(server.url + PATH) as answer,
    ):
        assert answer.status == 200
        await hub.wait_for(lambda: hub.stalled == 1)
        began = loop.time()

        assert await server.program.stop() == 0

        assert 0.9 < loop.time() - began < 10
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_who_waits_for_nothing_delays_nothing(
    nursery: Nursery, tmp_path: Path, hub: SimulatedHub
) -> None:
    """Idle connections, kept alive or with half a request, and one whose answer was taken."""
    async with server_of(nursery, tmp_path, hub) as server, client_of(server.url) as client:
        await client.pull(NGINX, "1", IMAGE)
        silent, half = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        half[1].write(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n")
        async with client.session.get(f"{server.url}/readyz"):
            began = asyncio.get_running_loop().time()
            assert await server.program.stop() == 0
            assert asyncio.get_running_loop().time() - began < 8
        for _, writer in (silent, half):
            await hang_up(writer)


async def test_who_reads_nothing_delays_no_longer_than_allowed(
    nursery: Nursery, tmp_path: Path, hub: SimulatedHub
) -> None:
    async with server_of(nursery, tmp_path, hub, "1s") as server, client_of(server.url) as client:
        await client.pull(NGINX, "1", IMAGE)
        reader, writer = await open_raw(server.host, PATH)
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio types it too wide
        began = asyncio.get_running_loop().time()

        assert await server.program.stop() == 0

        assert asyncio.get_running_loop().time() - began < 8
        writer.transport.abort()


async def test_a_fill_is_continued_by_the_next_server(
    nursery: Nursery, tmp_path: Path, hub: SimulatedHub
) -> None:
    fault = hub.faults.add(
        Fault(route="blob", reference=digest_of(LAYER), kind="stall", at=1_000_000)
    )
    async with (
        server_of(nursery, tmp_path, hub, "0s") as server,
        client_of(server.url) as client,
        client.session.get(server.url + PATH) as answer,
    ):
        await answer.content.readexactly(500_000)
        assert await server.program.stop() == 0
    hub.faults.remove(fault)
    async with server_of(nursery, tmp_path, hub) as server, client_of(server.url) as client:
        assert await client.blob(NGINX, digest_of(LAYER)) == LAYER

    first, second = (
        hub.find("blob", "GET", digest=digest_of(LAYER), status=200),
        hub.find("blob", "GET", digest=digest_of(LAYER), status=206),
    )
    assert len(first) == len(second) == 1
    start = int(second[0].headers["Range"].removeprefix("bytes=").removesuffix("-"))
    assert 500_000 < start <= 1_000_000
    assert second[0].sent == len(LAYER) - start


async def test_uses_and_counters_survive(
    nursery: Nursery, tmp_path: Path, hub: SimulatedHub
) -> None:
    """Whatever was counted or used in the last moment before the end."""
    async with server_of(nursery, tmp_path, hub) as server, client_of(server.url) as client:
        for _ in range(3):
            await client.pull(NGINX, "1", IMAGE)
        before = await client.stats()
        assert await server.program.stop() == 0

    with closing(sqlite3.connect(tmp_path / "metadata.db")) as database:
        [(uses,)] = database.execute(
            "SELECT count(*) FROM manifests WHERE last_used_at > stored_at"
        )
    assert uses == 2
    async with server_of(nursery, tmp_path, hub) as server, client_of(server.url) as client:
        after = await client.stats()
        assert after["requests"] == before["requests"]
        assert after["bytes"] == before["bytes"]
        assert after["storage"]["bytes"] == before["storage"]["bytes"]
        await client.pull(NGINX, "1", IMAGE)
        assert (await client.stats())["requests"]["hit"] > before["requests"]["hit"]


async def test_it_says_that_it_is_stopping(tmp_path: Path, hub: SimulatedHub) -> None:
    """To whoever still gets through, so that nobody new is sent here."""
    stopping = asyncio.Event()
    async with running_mirror(tmp_path, hub, stopping=stopping) as mirror:
        assert (await mirror.get("/readyz")).status == 200
        stopping.set()
        reply = await mirror.get("/readyz")
        assert (reply.status, reply.body) == (503, b"stopping\n")
        assert (await mirror.get("/livez")).status == 200
