"""From a body that comes in small pieces to an ingest that takes large ones.

While one portion is hashed and written, the next is gathered: neither the network nor the disk
waits for the other. The longer the one takes, the larger the other becomes, up to a limit: who is
behind has fewer and larger writes to make.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress

from mirror.ports.blobs import Ingest, StorageError

PORTION = 1024 * 1024
"""Bytes that are gathered before they are written."""

MOST_GATHERED = 4 * PORTION
"""Bytes after which no more are taken until those before them are written."""

MOST_PIECES = 512
"""That are kept as they came. To join large ones would cost as much as to receive them."""


async def pour(
    chunks: AsyncIterator[bytes], ingest: Ingest, admit: Callable[[int], Awaitable[None]]
) -> Sequence[bytes]:
    """Append all chunks but the last few, which are returned: admitted, and not yet written.

    ``admit`` is asked before so many bytes are written. All that came is written when the chunks
    break off. Raises what they raise, and StorageError: then nothing is written that comes after
    what was not.
    """
    portions = _Portions(ingest, admit)
    try:
        async for chunk in chunks:
            await portions.add(chunk)
    except BaseException:
        with suppress(StorageError):  # how it began to go wrong says more
            rest = await portions.rest()
            if rest:
                await ingest.write(*rest)
        raise
    return await portions.rest()


class _Portions:
    def __init__(self, ingest: Ingest, admit: Callable[[int], Awaitable[None]]) -> None:
        self._ingest = ingest
        self._admit = admit
        self._gathered: list[bytes] = []
        self._size = 0
        self._writing: asyncio.Task[None] | None = None

    async def add(self, chunk: bytes) -> None:
        self._gathered.append(chunk)
        self._size += len(chunk)
        if len(self._gathered) == MOST_PIECES:
            self._gathered = [b"".join(self._gathered)]
        is_writing = self._writing is not None and not self._writing.done()
        if self._size >= (MOST_GATHERED if is_writing else PORTION):
            await self._settle()
            self._writing = asyncio.create_task(self._write(*self._take()))

    async def rest(self) -> Sequence[bytes]:
        """What is not written."""
        await self._settle()
        size, pieces = self._take()
        if size:
            await self._admit(size)
        return pieces

    async def _settle(self) -> None:
        """Until the last portion is written. If it was not, nothing may follow it."""
        writing, self._writing = self._writing, None
        if writing is None:
            return
        try:
            await writing
        except BaseException:
            self._take()
            raise

    async def _write(self, size: int, pieces: Sequence[bytes]) -> None:
        await self._admit(size)
        await self._ingest.write(*pieces)

    def _take(self) -> tuple[int, Sequence[bytes]]:
        taken = self._size, self._gathered
        self._size, self._gathered = 0, []
        return taken
