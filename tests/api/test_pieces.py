"""From pieces to one answer: where they come from, where they break off, and who closes them."""

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from io import FileIO

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from mirror.api.sending import Outcome, send
from mirror.ports.blobs import FileSlice, Piece, StorageError
from mirror.ports.upstream import UpstreamUnreachable
from mirror.registry.follow import FillFailed
from tests.api.wire import connected, eventually, request

Pieces = Callable[[], AsyncIterator[Piece]]


@asynccontextmanager
async def sending(
    pieces: Pieces, size: int, outcomes: list[Outcome], head_start: float = 5.0
) -> AsyncIterator[int]:
    """The port of a server that sends these pieces, and tells of failures before them."""

    async def handle(asked: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(size)})
        outcomes.append(Outcome())
        deadline = timedelta(seconds=5)
        try:
            await send(asked, response, pieces(), deadline, outcomes[-1], head_start)
        except (FillFailed, StorageError):
            return web.Response(status=404, headers={"Content-Length": "0"})
        return response

    application = web.Application()
    application.router.add_get("/", handle)
    async with TestServer(application, host="127.0.0.1") as server:
        assert server.port is not None
        yield server.port


async def of_bytes() -> AsyncIterator[Piece]:
    yield b"a" * 10
    await asyncio.sleep(0)
    yield b"b" * 10


async def test_pieces_become_an_answer() -> None:
    outcomes: list[Outcome] = []
    async with sending(of_bytes, 20, outcomes) as port, connected(port) as line:
        assert (await line.ask(request("/"))).body == b"a" * 10 + b"b" * 10
        assert (await line.ask(request("/"))).status == 200
    assert [outcome.sent for outcome in outcomes] == [20, 20]


@pytest.mark.parametrize(
    "error", [FillFailed(), StorageError("gone"), OSError(5, "EIO"), RuntimeError("a defect")]
)
async def test_a_failure_after_the_first_byte_breaks_the_answer(error: Exception) -> None:
    """And nothing is ever written behind it: a client would take it for content."""

    async def pieces() -> AsyncIterator[Piece]:
        yield b"a" * 10
        raise error

    outcomes: list[Outcome] = []
    async with sending(pieces, 20, outcomes) as port, connected(port) as line:
        await line.send(request("/"))
        received, _ = await line.rest()
    assert received.endswith(b"\r\n\r\n" + b"a" * 10)
    assert [outcome.sent for outcome in outcomes] == [10]


def failed() -> FillFailed:
    failure = FillFailed()
    failure.__cause__ = UpstreamUnreachable("gone")
    return failure


async def failing(error: Exception) -> Piece:
    raise error


@pytest.mark.parametrize("error", [failed(), StorageError("gone")])
async def test_a_failure_before_the_first_byte_can_be_told(error: Exception) -> None:
    async def pieces() -> AsyncIterator[Piece]:
        await asyncio.sleep(0)
        yield await failing(error)

    async with sending(pieces, 20, []) as port, connected(port) as line:
        assert (await line.ask(request("/"))).status == 404
        assert (await line.ask(request("/"))).status == 404


async def test_a_first_byte_that_takes_long_is_not_waited_for() -> None:
    """Clients give up on headers that do not come."""
    late = asyncio.Event()

    async def pieces() -> AsyncIterator[Piece]:
        await late.wait()
        yield b"a" * 20

    async with sending(pieces, 20, [], 0.05) as port, connected(port) as line:
        await line.send(request("/"))
        line.received = await line.reader.readuntil(b"\r\n\r\n")
        late.set()
        assert (await line.answer()).body == b"a" * 20
        assert (await line.ask(request("/"))).body == b"a" * 20


async def test_an_answer_without_content_is_one() -> None:
    async def pieces() -> AsyncIterator[Piece]:
        for piece in list[Piece]():
            yield piece

    async with sending(pieces, 0, []) as port, connected(port) as line:
        assert (await line.ask(request("/"))).body == b""
        assert (await line.ask(request("/"))).body == b""


async def test_what_gave_the_pieces_is_always_closed() -> None:
    closed: list[str] = []

    async def pieces() -> AsyncIterator[Piece]:
        try:
            while True:
                yield b"a" * 100_000
        finally:
            closed.append("closed")

    async with sending(pieces, 1 << 40, []) as port:
        for _ in range(3):
            async with connected(port) as line:
                await line.send(request("/"))
                await line.reader.readexactly(200_000)
                line.reset()
        await eventually(lambda: len(closed) == 3)


VALUE = "x" * 50_000 + "y" * 50_000
ENVIRONMENT = f"A={VALUE}\0B={VALUE[::-1]}\0".encode()


@pytest.fixture
def unsendable() -> Iterator[FileIO]:
    """A file that can be read and not sent: the environment of a process."""
    environ = {"A": VALUE, "B": VALUE[::-1]}
    with subprocess.Popen(["sleep", "60"], env=environ) as process:
        try:
            with FileIO(f"/proc/{process.pid}/environ") as file:
                while os.pread(file.fileno(), 1, len(ENVIRONMENT) - 1) != b"\0":
                    time.sleep(0)  # it is still that of the process it was made from
                yield file
        finally:
            process.kill()


async def test_a_file_that_the_kernel_does_not_send_from_is_copied(unsendable: FileIO) -> None:
    """By positions of our own: readers share the file, and each gets its own bytes of it."""
    with pytest.raises(OSError, match="Invalid argument"):
        os.sendfile(1, unsendable.fileno(), 0, 1)

    async def pieces() -> AsyncIterator[Piece]:
        for start in range(0, len(ENVIRONMENT), 10_000):
            yield FileSlice(unsendable, start, min(start + 10_000, len(ENVIRONMENT)))

    async with sending(pieces, len(ENVIRONMENT), []) as port, asyncio.TaskGroup() as group:
        tasks = [group.create_task(body_of(port)) for _ in range(10)]
    assert [task.result() == ENVIRONMENT for task in tasks] == [True] * 10


async def body_of(port: int) -> bytes:
    async with connected(port) as line:
        return (await line.ask(request("/"))).body


async def test_what_cannot_be_read_any_more_breaks_the_answer() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    with FileIO(reading) as file:

        async def pieces() -> AsyncIterator[Piece]:
            yield b"a" * 10
            yield FileSlice(file, 0, 10)

        async with sending(pieces, 20, []) as port, connected(port) as line:
            await line.send(request("/"))
            received, _ = await line.rest()
        assert received.endswith(b"\r\n\r\n" + b"a" * 10)
