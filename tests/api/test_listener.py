"""Who gets in: also while descriptors run out, and nobody once it stops."""

import asyncio
import re
import resource
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mirror.api.listener import Listener, ListenError
from mirror.descriptors import ENOUGH
from tests.api.services import make_mirror
from tests.api.serving import serving
from tests.api.site import BLOB, INDEX, LAYER, NAME, TAGGED
from tests.api.wire import Line, connected, request
from tests.requirements import needs_ipv6
from tests.simulated_hub import SimulatedHub
from tests.world import settings

LISTENS = re.compile(rb"listens on 127\.0\.0\.1:(\d+)")
FULL = b"cannot accept connections"


def silent() -> asyncio.Protocol:
    return asyncio.Protocol()


async def test_an_address_that_is_taken_is_told() -> None:
    taken = Listener("127.0.0.1", 0, silent)
    taken.start()
    assert taken.port > 0
    with pytest.raises(ListenError, match=f"127.0.0.1:{taken.port} is in use by another program"):
        Listener("127.0.0.1", taken.port, silent).start()
    await taken.stop()


@pytest.mark.parametrize(
    ("host", "advice"),
    [
        ("203.0.113.1", "203.0.113.1:0 is not an address of this machine; change the key listen"),
        ("127.0.0.1.example.invalid", "cannot be listened on"),
    ],
)
async def test_an_address_that_is_none_is_told(host: str, advice: str) -> None:
    with pytest.raises(ListenError, match=advice):
        Listener(host, 0, silent).start()


@needs_ipv6
async def test_ipv6() -> None:
    listener = Listener("::1", 0, silent)
    listener.start()
    _, writer = await asyncio.open_connection("::1", listener.port)
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", listener.port)
    await listener.stop()


async def test_stopping_twice_or_never_started_is_fine() -> None:
    listener = Listener("127.0.0.1", 0, silent)
    await listener.stop()
    listener.start()
    await listener.stop()
    await listener.stop()


async def test_whoever_got_in_before_the_end_is_not_forgotten() -> None:
    """A connection accepted in the turn in which the server stops is closed, not left hanging."""
    async with AsyncExitStack() as clients:
        async with serving(make_mirror(), drain=0.1) as server:
            lines = []
            for _ in range(50):
                sock = socket.create_connection(("127.0.0.1", server.port))
                reader, writer = await asyncio.open_connection(sock=sock)
                clients.callback(writer.close)
                lines.append(Line(reader, writer))
        for line in lines:
            async with asyncio.timeout(30):
                assert (await line.rest())[0] == b""


@pytest.mark.parametrize(
    "begun",
    [b"", b"GET", b"GET /v2/ HTTP/1.1\r\n", b"GET /v2/ HTTP/1.1\r\nHost: a\r\nX: ", b"\r\n"],
)
@pytest.mark.parametrize("before", [b"", request("/v2/")])
async def test_who_never_finishes_asking_is_sent_away(before: bytes, begun: bytes) -> None:
    """T20. However slowly the rest of the head comes, and however well it began."""
    async with serving(make_mirror(), keepalive=0.5) as server, connected(server.port) as line:
        if before:
            assert (await line.ask(before)).status == 200
        await line.send(begun)
        async with asyncio.timeout(30):
            assert (await line.rest())[0] == b""


@dataclass(slots=True)
class Program:
    """A mirror in a process of its own. ``output`` is all it has logged."""

    process: asyncio.subprocess.Process
    output: bytearray = field(default_factory=bytearray)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        assert self.process.stderr is not None
        while data := await self.process.stderr.read(65536):
            self.output += data
            self._news.set()

    async def logged(self, pattern: bytes) -> re.Match[bytes]:
        async with asyncio.timeout(20):
            while (match := re.search(pattern, self.output)) is None:
                await self._news.wait()
                self._news.clear()
            return match

    def leave_room_for(self, count: int) -> None:
        """So many more descriptors can be opened."""
        pid = self.process.pid
        limit = len(list(Path(f"/proc/{pid}/fd").iterdir())) + count
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, limit))


@asynccontextmanager
async def running(data: Path, hub: SimulatedHub, *before: str) -> AsyncIterator[Program]:
    """``before`` is what starts the command."""
    environ = settings(hub, {"MIRROR__DATA": str(data), "MIRROR__LOG__FORMAT": "json"})
    command = (*before, sys.executable, "-m", "mirror", "serve")
    process = await asyncio.create_subprocess_exec(
        *command, env=environ, stderr=asyncio.subprocess.PIPE
    )
    program = Program(process)
    reading = asyncio.create_task(program.read())
    try:
        yield program
    finally:
        process.terminate()
        assert await process.wait() == 0
        await reading


async def test_running_out_of_descriptors_is_survived(tmp_path: Path, hub: SimulatedHub) -> None:
    """F25. Who is inside is served, who is not waits, and the log is not flooded meanwhile."""
    hub.push(NAME, "1", INDEX)
    async with running(tmp_path / "data", hub) as program, AsyncExitStack() as crowd:
        port = int((await program.logged(LISTENS.pattern))[1])
        async with connected(port) as inside:
            await pull(inside)
            program.leave_room_for(8)
            for _ in range(40):
                line = await crowd.enter_async_context(connected(port))
                await line.send(b"GET ")
            await program.logged(FULL)
            assert (await inside.ask(request(TAGGED))).body == INDEX.content
            assert (await inside.ask(request(BLOB))).status in (200, 503)
            await crowd.aclose()
        async with asyncio.timeout(20), connected(port) as later:
            assert (await later.ask(request(TAGGED))).body == INDEX.content
            assert (await later.ask(request(BLOB))).body == LAYER
    assert program.output.count(FULL) < 30
    assert b"Traceback" not in program.output


async def test_as_many_descriptors_as_the_system_allows(tmp_path: Path, hub: SimulatedHub) -> None:
    """Most are started with 1024, of which each client may take two."""
    with_few = ("/bin/sh", "-c", 'ulimit -Sn 200; exec "$@"', "sh")
    async with running(tmp_path / "data", hub, *with_few) as program:
        await program.logged(LISTENS.pattern)
        soft, hard = resource.prlimit(program.process.pid, resource.RLIMIT_NOFILE)
    assert soft in (hard, ENOUGH)


async def pull(line: Line) -> None:
    """Until it is held."""
    for path in (TAGGED, BLOB):
        while "hit" not in (await line.ask(request(path)))["Cache-Status"]:
            pass
