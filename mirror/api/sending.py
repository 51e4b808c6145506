"""Sending a blob: from file to socket by the kernel where it can be, within deadlines.

Until its first byte is here, a failure can still be told. Then the status line goes out, and a
failure can only cut the connection: an answer that is complete is right.
"""

import asyncio
import logging
import os
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from aiohttp import web

from mirror.api.connection import LEAST_PROGRESS, reset
from mirror.ports.blobs import FileSlice, Piece, StorageError
from mirror.registry.follow import FillFailed

log = logging.getLogger(__name__)

STRIDE = 1024 * 1024
"""Bytes handed to the kernel at a time."""

HEAD_START = 5.0
"""Seconds for which the status line waits for the first byte. Every client waits longer."""

COPIED = 64 * 1024
"""Bytes copied at a time where the kernel does not send from the file itself."""

ACKNOWLEDGED = struct.Struct("=120xQ")
"""Where Linux tells, in ``tcp_info``, how many bytes the other side has acknowledged."""


@dataclass(slots=True)
class Outcome:
    """``sent`` is the bytes of content the kernel took, also when the answer broke off, except
    those of the STRIDE in which it did.
    """

    sent: int = 0


async def send(
    request: web.Request,
    response: web.StreamResponse,
    pieces: AsyncIterator[Piece],
    deadline: timedelta,
    outcome: Outcome,
    head_start: float = HEAD_START,
) -> None:
    """Send the head and the pieces; cut the connection if they cannot all be sent.

    A client that takes less than LEAST_PROGRESS in the time of ``deadline`` is cut off. Raises
    FillFailed and StorageError as long as nothing was sent.
    """
    first = asyncio.ensure_future(_next(pieces))
    try:
        await asyncio.wait((first,), timeout=head_start)
        if first.done():
            first.result()
        async with aclosing(_resumed(first, pieces)) as content:
            await _send(request, response, content, deadline.total_seconds(), outcome)
    finally:
        if not first.done():
            first.cancel()
            await asyncio.wait((first,))
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


async def _next(pieces: AsyncIterator[Piece]) -> Piece | None:
    return await anext(pieces, None)


async def _resumed(
    first: asyncio.Future[Piece | None], pieces: AsyncIterator[Piece]
) -> AsyncGenerator[Piece, None]:
    piece = await first
    while piece is not None:
        yield piece
        piece = await _next(pieces)


async def _send(
    request: web.Request,
    response: web.StreamResponse,
    pieces: AsyncIterator[Piece],
    seconds: float,
    outcome: Outcome,
) -> None:
    try:
        await response.prepare(request)
        async for piece in pieces:
            await _send_piece(request, response, piece, seconds, outcome)
        await response.write_eof()
    except TimeoutError:
        log.info("cut off a client that took too little in %.0f s of %s", seconds, request.path)
        if request.transport is not None:
            reset(request.transport)
    except ConnectionError:
        # Routine: parallel downloads open many ranges and close each after one chunk.
        _abort(request)
    except (FillFailed, StorageError, OSError) as error:
        log.warning("broke off %s after %d bytes: %s", request.path, outcome.sent, _reason(error))
        _abort(request)
    except BaseException:
        # Nobody may add another answer to half of this one.
        _abort(request)
        raise


async def _send_piece(
    request: web.Request,
    response: web.StreamResponse,
    piece: Piece,
    seconds: float,
    outcome: Outcome,
) -> None:
    if isinstance(piece, FileSlice):
        for start in range(piece.start, piece.stop, STRIDE):
            stop = min(start + STRIDE, piece.stop)
            async with _patience(request, seconds):
                await _send_file(request, response, FileSlice(piece.file, start, stop))
            outcome.sent += stop - start
        return
    for start in range(0, len(piece), STRIDE):
        chunk = piece[start : start + STRIDE]
        async with _patience(request, seconds):
            await response.write(chunk)
        outcome.sent += len(chunk)


@asynccontextmanager
async def _patience(request: web.Request, seconds: float) -> AsyncIterator[None]:
    """Raises TimeoutError once the client has taken next to nothing for so long."""
    loop = asyncio.get_running_loop()
    taken = _acknowledged(request)
    timer: asyncio.TimerHandle

    def wait() -> None:
        nonlocal timer
        timer = loop.call_later(seconds, look)

    def look() -> None:
        nonlocal taken
        before, taken = taken, _acknowledged(request)
        if taken - before >= LEAST_PROGRESS:
            wait()
        else:
            deadline.reschedule(loop.time())

    wait()
    try:
        async with asyncio.timeout(None) as deadline:
            yield
    finally:
        timer.cancel()


def _acknowledged(request: web.Request) -> int:
    """Bytes of this connection that have arrived; zero where nobody can tell."""
    sock = request.get_extra_info("socket")
    try:
        told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, ACKNOWLEDGED.size)
        return int(ACKNOWLEDGED.unpack(told)[0])
    except (AttributeError, OSError, struct.error):
        return 0


async def _send_file(request: web.Request, response: web.StreamResponse, part: FileSlice) -> None:
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client has gone")
    loop = asyncio.get_running_loop()
    try:
        # The loop's own fallback seeks and reads, while readers share the file.
        sent = await loop.sendfile(transport, part.file, part.start, part.length, fallback=False)
    except asyncio.SendfileNotAvailableError:
        # Nothing was sent: the file system cannot do it, or the client has gone.
        sent = await _copy(response, part)
    if sent < part.length:
        # The file is shorter than it was when it was opened.
        raise StorageError(f"{part.length - sent} bytes are missing on disk")


async def _copy(response: web.StreamResponse, part: FileSlice) -> int:
    position = part.start
    while position < part.stop:
        size = min(COPIED, part.stop - position)
        chunk = await asyncio.to_thread(os.pread, part.file.fileno(), size, position)
        if not chunk:
            break
        await response.write(chunk)
        position += len(chunk)
    return position - part.start


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _reason(error: Exception) -> str:
    return str(error.error if isinstance(error, FillFailed) else error)
