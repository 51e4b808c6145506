"""Starting: at once, whatever the network is like, with what was stored before."""

import asyncio
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.life.environment import mirror_of, mirror_of_url
from tests.life.process import (
    LISTENS,
    Nursery,
    Server,
    listening,
    order,
    running_program,
    running_server,
)
from tests.life.pulling import client_of
from tests.life.remains import back_to, remains
from tests.life.tracing import traced
from tests.requirements import needs_ipv6, needs_strace
from tests.simulated_hub import Canary, SimulatedHub, blob, make_image, make_index
from tests.world import running_mirror

AT_ONCE = 15.0
"""Seconds. It takes a tenth of one where nobody else works, and far less than ``HOPELESS``."""

HOPELESS = {"MIRROR__TIMEOUTS__CONNECT": "60s", "MIRROR__TIMEOUTS__HEADERS": "60s"}
"""Whoever waited for a network would wait for so long."""

IMAGE = make_index([make_image(layers=[blob("start", 200_000), b"small"])])


async def ready(server: Server) -> None:
    async with client_of(server.url) as client, client.session.get(f"{client.url}/readyz") as reply:
        assert (reply.status, await reply.text()) == (200, "ok\n")


async def test_nothing_is_asked_of_the_network(nursery: Nursery, tmp_path: Path) -> None:
    async with Canary() as canary:
        environ = mirror_of_url(canary.url)
        async with running_server(nursery, order(tmp_path, environ)) as server:
            await ready(server)
            assert await server.program.stop() == 0
        assert canary.connections == 0


@needs_strace
async def test_nobody_is_called_and_no_name_is_looked_up(nursery: Nursery, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    halted = order(tmp_path / "data", mirror_of_url("https://registry.example"), is_halted=True)
    tracing = ("-e", "trace=connect,sendto,listen")
    async with running_program(nursery, halted) as program, traced(program, trace, *tracing):
        await ready(await listening(program))
        assert await program.stop() == 0

    calls = trace.read_text()
    assert "connect(" not in calls
    assert "htons(53)" not in calls
    assert calls.count("listen(") == 1


async def test_as_an_operator_starts_it(tmp_path: Path) -> None:
    """The program itself: the other tests start it from a process that has it in memory."""
    environ = {"MIRROR__DATA": str(tmp_path / "data"), "MIRROR__LISTEN": "127.0.0.1:0"}
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mirror", "serve"),
        cwd=Path(__file__).parents[2],
        env=environ,
        stderr=asyncio.subprocess.PIPE,
    )
    assert program.stderr is not None
    line = (await program.stderr.readline()).decode()
    found = LISTENS.search(line)
    assert found, line
    async with client_of(f"http://127.0.0.1:{found[1]}") as client:
        assert (await client.session.get(f"{client.url}/readyz")).status == 200
    program.terminate()
    rest = (await program.stderr.read()).decode().splitlines()
    assert await program.wait() == 0
    assert [("stopping" in line, "Traceback" in line) for line in rest if "readyz" not in line] == [
        (True, False)
    ]


@pytest.fixture
def refusing() -> Iterator[str]:
    with closing(socket.socket()) as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{reserved.getsockname()[1]}"


@pytest.fixture
def black_hole() -> Iterator[str]:
    """An address where connections are neither accepted nor refused."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as hole:
        address = hole.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(address)
        yield f"http://127.0.0.1:{address[1]}"
        for each in waiting:
            each.close()


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that accepts and never says a word."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def nowhere() -> str:
    return "https://registry.invalid"


@pytest.mark.parametrize("trouble", ["refusing", "black_hole", "silent", "nowhere"])
async def test_what_is_stored_is_served_though_the_upstream_is(
    nursery: Nursery,
    tmp_path: Path,
    hub: SimulatedHub,
    trouble: str,
    request: pytest.FixtureRequest,
) -> None:
    hub.push("library/nginx", "1", IMAGE)
    async with running_server(nursery, order(tmp_path, mirror_of(hub))) as server:
        async with client_of(server.url) as client:
            await client.pull("library/nginx", "1", IMAGE)
        assert await server.program.stop() == 0

    loop = asyncio.get_running_loop()
    url = request.getfixturevalue(trouble)
    environ = mirror_of_url(url, freshness="0s", more=HOPELESS)
    began = loop.time()
    async with running_server(nursery, order(tmp_path, environ)) as server:
        await ready(server)
        assert loop.time() - began < AT_ONCE
        async with client_of(server.url) as client:
            await client.pull("library/nginx", "1", IMAGE)
            assert loop.time() - began < 2 * AT_ONCE
            async with client.session.get(f"{client.url}/v2/nginx/manifests/1") as answer:
                assert answer.headers["Warning"].startswith("299 ")
        assert await server.program.stop() == 0


async def test_lives_leave_nothing_behind(tmp_path: Path, hub: SimulatedHub) -> None:
    """In one process, so that what a life forgets to close is still there after it."""
    hub.push("library/nginx", "1", IMAGE)

    async def live() -> None:
        async with running_mirror(tmp_path / "data", hub) as mirror, client_of(mirror.url) as each:
            await each.pull("library/nginx", "1", IMAGE)

    data = tmp_path / "data"
    await live()
    before = remains(data)
    for _ in range(5):
        await live()
    await back_to(before, data)
    assert before.files == ("lock", "metadata.db", "reserve")


IPV6 = "the other protocol"
CORNERS: dict[str, dict[str, str]] = {
    "offline": {"MIRROR__OFFLINE": "true"},
    IPV6: {"MIRROR__LISTEN": "[::1]:0"},
    "no drain": {"MIRROR__TIMEOUTS__DRAIN": "0s"},
    "every tag stale": {"MIRROR__UPSTREAMS": "{docker.io: {freshness: 0s}}"},
    "no room": {"MIRROR__CACHE__MAX_SIZE": "1", "MIRROR__CACHE__MIN_FREE": "1000TiB"},
    "no limit": {"MIRROR__CACHE__MIN_FREE": "0"},
    "debugging": {"MIRROR__LOG__LEVEL": "debug", "MIRROR__LOG__FORMAT": "text"},
    "nobody trusted": {"MIRROR__AUTH__TRUSTED_NETWORKS": "[]"},
    "many upstreams": {"MIRROR__UPSTREAMS": "{docker.io: {default: true}, ghcr.io: , quay.io: }"},
}


@pytest.mark.parametrize(
    "corner",
    [pytest.param(corner, marks=needs_ipv6) if corner == IPV6 else corner for corner in CORNERS],
)
async def test_any_configuration_starts_and_stops(
    nursery: Nursery, tmp_path: Path, corner: str
) -> None:
    async with running_program(nursery, order(tmp_path, CORNERS[corner])) as program:
        await program.printed(LISTENS)
        assert await program.stop() == 0
        assert not any("Traceback" in line for line in program.lines)
