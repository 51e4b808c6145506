"""Sending a blob: from file to socket by the kernel where it can be, within deadlines.

The status line went out when the first byte did, so a failure can only cut the connection: an
answer that is complete is right.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

from aiohttp import web

from mirror.ports.blobs import FileSlice, Piece, StorageError
from mirror.registry.follow import FillFailed

log = logging.getLogger(__name__)

STRIDE = 1024 * 1024
"""Bytes handed to the kernel at a time, each within the deadline: the slowest reader allowed."""


@dataclass(slots=True)
class Outcome:
    """``sent`` is the bytes of content the kernel took, also when the answer broke off."""

    sent: int = 0


async def send(
    request: web.Request,
    response: web.StreamResponse,
    pieces: AsyncIterator[Piece],
    deadline: timedelta,
    outcome: Outcome,
) -> None:
    """Send the head and the pieces; cut the connection if they cannot all be sent.

    ``deadline`` is for each STRIDE: a client that takes less in that time is cut off.
    """
    seconds = deadline.total_seconds()
    try:
        await response.prepare(request)
        async for piece in pieces:
            await _send_piece(request, response, piece, seconds, outcome)
        await response.write_eof()
    except (FillFailed, StorageError) as error:
        log.warning("broke off %s after %d bytes: %s", request.path, outcome.sent, _reason(error))
        _abort(request)
    except TimeoutError:
        log.info("cut off a client that took nothing for %.0f s of %s", seconds, request.path)
        _abort(request)
    except ConnectionError:
        # Routine: parallel downloads open many ranges and close each after one chunk.
        _abort(request)
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


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
            async with asyncio.timeout(seconds):
                outcome.sent += await _sendfile(request, FileSlice(piece.file, start, stop))
        return
    for start in range(0, len(piece), STRIDE):
        chunk = piece[start : start + STRIDE]
        async with asyncio.timeout(seconds):
            await response.write(chunk)
        outcome.sent += len(chunk)


async def _sendfile(request: web.Request, part: FileSlice) -> int:
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client has gone")
    loop = asyncio.get_running_loop()
    sent = await loop.sendfile(transport, part.file, part.start, part.length)
    if sent < part.length:
        # The file is shorter than it was when it was opened.
        raise StorageError(f"{part.length - sent} bytes are missing on disk")
    return sent


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _reason(error: FillFailed | StorageError) -> str:
    return str(error.error if isinstance(error, FillFailed) else error)
