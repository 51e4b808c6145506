"""A client of a blob: reads a range at its own pace, and remembers what it got."""

import asyncio
import os
from types import TracebackType
from typing import Self

from mirror.oci.digest import Digest
from mirror.ports.blobs import FileSlice, OpenBlob, Piece
from mirror.registry.answer import BlobAnswer
from mirror.registry.blobs import Blobs
from mirror.registry.routed import RoutedBlobs
from mirror.registry.routing import Route
from tests.simulated_hub.bell import Bell

PATIENCE = 30
"""Seconds: only a test that fails has to wait for so long."""


class Reading:
    """Begins at once and closes the blob in the end. ``paused``: takes nothing until told to.

    What is complete is exactly the range asked for: the rest of a broken answer never came.
    """

    def __init__(
        self, blob: OpenBlob, start: int = 0, stop: int | None = None, *, paused: bool = False
    ) -> None:
        self.received = bytearray()
        self._blob = blob
        self._start, self._stop = start, blob.size if stop is None else stop
        self._bell = Bell()
        self._going_on = asyncio.Event()
        if not paused:
            self._going_on.set()
        self._task = asyncio.create_task(self._read())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.leave()

    def go_on(self) -> None:
        self._going_on.set()

    def pause(self) -> None:
        self._going_on.clear()

    async def until(self, count: int) -> None:
        """Until so many bytes came. Fails when the reading ends before."""
        async with asyncio.timeout(PATIENCE):
            await self._bell.until(lambda: len(self.received) >= count or self._task.done())
        if len(self.received) < count:
            self._task.result()
        assert len(self.received) >= count

    async def complete(self) -> bytes:
        """The whole range. Raises what broke it off."""
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait({self._task})
        self._task.result()
        return bytes(self.received)

    async def broken(self) -> BaseException:
        """What broke it off. Fails when the range came whole."""
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait({self._task})
        error = self._task.exception()
        assert error is not None, f"complete after {len(self.received)} bytes"
        assert len(self.received) < self._stop - self._start, "the last byte was sent"
        return error

    async def leave(self) -> None:
        """As a client does that goes away."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _read(self) -> None:
        pieces = self._blob.pieces(self._start, self._stop)
        try:
            await self._going_on.wait()
            async for piece in pieces:
                self.received += bytes_of(piece)
                self._bell.ring()
                await self._going_on.wait()
        finally:
            await pieces.aclose()  # type: ignore[attr-defined]  # every adapter makes generators
            self._blob.close()
            self._bell.ring()


def bytes_of(piece: Piece) -> bytes:
    if isinstance(piece, FileSlice):
        content = os.pread(piece.file.fileno(), piece.length, piece.start)
        assert len(content) == piece.length, "the file is shorter than it was said to be"
        return content
    return piece


def must_be_open(answer: BlobAnswer) -> OpenBlob:
    assert answer.blob is not None
    return answer.blob


async def begin(
    blobs: Blobs | RoutedBlobs,
    route: Route,
    digest: Digest,
    part: tuple[int, int] | None = None,
    *,
    paused: bool = False,
) -> Reading:
    """Ask for the blob, and begin to read it or the part ``start`` to ``stop`` (half open)."""
    answer = await blobs.get(route, digest)
    start, stop = part or (0, answer.size)
    return Reading(must_be_open(answer), start, stop, paused=paused)


async def fetch(blobs: Blobs | RoutedBlobs, route: Route, digest: Digest) -> bytes:
    """The whole blob, as a client that gets everything."""
    return await (await begin(blobs, route, digest)).complete()
