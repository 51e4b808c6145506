"""How a reader gets a range of a blob that is still coming in.

Three ways: behind the download, from the upstream where the disk takes no more, and by a request
of its own when it starts far ahead. In each of them the end of the range is withheld until the
whole blob was verified: an answer that is complete is right.
"""

import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Protocol

from mirror.oci.digest import Digest, Hasher
from mirror.ports.blobs import Ingest, Piece
from mirror.ports.upstream import RemoteBlob, UpstreamError, UpstreamInvalid, UpstreamUnreachable

WITHHELD = 16 * 1024
"""Bytes at the end of a reader's range that wait for the digest."""

FAR_AHEAD = 8 * 1024 * 1024
"""A reader that starts this many bytes beyond the download asks the upstream for itself."""

RESUMES = 5
"""Failures in a row, with less than PROGRESS bytes between them, that end a download."""

PROGRESS = 64 * 1024


class FillFailed(Exception):
    """The bytes will not come. The cause says why; ``error`` in terms of the upstream."""

    @property
    def error(self) -> UpstreamError:
        cause = self.__cause__
        return cause if isinstance(cause, UpstreamError) else UpstreamUnreachable(str(cause))


class Source(Protocol):
    """Where the bytes come from: an upstream's ``open_blob`` for one repository and digest."""

    def __call__(
        self, start: int, stop: int | None = None
    ) -> AbstractAsyncContextManager[RemoteBlob | None]: ...


@dataclass(frozen=True, slots=True)
class Unstored:
    """The store took no more after ``offset`` bytes, whose hash state is ``hasher``."""

    offset: int
    hasher: Hasher


class Filling(Protocol):
    """What readers see of a fill."""

    @property
    def digest(self) -> Digest: ...
    @property
    def size(self) -> int | None: ...
    @property
    def written(self) -> int: ...
    @property
    def verified(self) -> bool: ...
    @property
    def failure(self) -> BaseException | None: ...
    @property
    def unstored(self) -> Unstored | None: ...
    @property
    def source(self) -> Source: ...
    @property
    def pause(self) -> Callable[[int], Awaitable[None]]: ...
    @property
    def received(self) -> Callable[[int], None]: ...
    def ingested(self) -> Ingest: ...
    async def changed(self) -> None: ...


async def follow(fill: Filling, start: int, stop: int) -> AsyncGenerator[Piece, None]:
    """The bytes ``start`` to ``stop`` (half open). Raises FillFailed before the last of them."""
    if start - fill.written > FAR_AHEAD and fill.unstored is None and not fill.verified:
        async with aclosing(_leap(fill, start, stop)) as pieces:
            async for piece in pieces:
                yield piece
        return
    position = start
    while position < stop:
        limit = await _readable(fill, position, stop)
        if limit is None:
            async with aclosing(_pass_through(fill, position, stop)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        async for piece in fill.ingested().written(position, limit):
            yield piece
        position = limit


async def _readable(fill: Filling, position: int, stop: int) -> int | None:
    """Up to where bytes beyond ``position`` may be sent; ``None``: the store takes no more."""
    while not fill.verified:
        if isinstance(fill.failure, UpstreamInvalid):
            # What was written is known to be wrong: not one byte more of it.
            raise FillFailed from fill.failure
        limit = min(fill.written, max(stop - WITHHELD, position))
        if limit > position:
            return limit
        if fill.unstored is not None:
            return None
        if fill.failure is not None:
            raise FillFailed from fill.failure
        await fill.changed()
    return stop


async def _pass_through(fill: Filling, position: int, stop: int) -> AsyncGenerator[Piece, None]:
    """What was written before the store gave up, then the upstream's bytes, never stored.

    The rest of the blob is read to its end whatever ``stop`` is, because only that verifies it.
    """
    unstored = fill.unstored
    if unstored is None:
        raise FillFailed from fill.failure
    hasher, at = unstored.hasher.copy(), unstored.offset
    body_stop = max(stop - WITHHELD, position)
    if position < min(at, body_stop):
        async for piece in fill.ingested().written(position, min(at, body_stop)):
            yield piece
    held = bytearray()
    async with aclosing(_relay(fill, at, fill.size or 0)) as chunks:
        async for chunk in chunks:
            hasher.update(chunk)
            if part := _clip(chunk, at, position, body_stop):
                yield part
            held += _clip(chunk, at, body_stop, stop)
            at += len(chunk)
    if hasher.hexdigest() != fill.digest.encoded:
        raise FillFailed from UpstreamInvalid("the upstream sent other bytes than the digest names")
    if body_stop < min(unstored.offset, stop):
        async for piece in fill.ingested().written(body_stop, min(unstored.offset, stop)):
            yield piece
    if held:
        yield bytes(held)


async def _leap(fill: Filling, start: int, stop: int) -> AsyncGenerator[Piece, None]:
    """A ranged request of the reader's own. Its end waits until the download has come past it,
    was verified, and the bytes that were sent are the same.
    """
    sent = hashlib.sha256()
    held = bytearray()
    at, body_stop = start, max(stop - WITHHELD, start)
    async with aclosing(_relay(fill, start, stop, stop)) as chunks:
        async for chunk in chunks:
            sent.update(chunk)
            if part := _clip(chunk, at, start, body_stop):
                yield part
            held += _clip(chunk, at, body_stop, stop)
            at += len(chunk)
    await _until_verified(fill)
    if await fill.ingested().hash_range(start, stop) != sent.hexdigest():
        raise FillFailed from UpstreamInvalid("a ranged answer differs from the blob it is of")
    yield bytes(held)


async def _until_verified(fill: Filling) -> None:
    while not fill.verified:
        if fill.unstored is not None:
            raise FillFailed from UpstreamUnreachable("no room to verify a part that was asked for")
        if fill.failure is not None:
            raise FillFailed from fill.failure
        await fill.changed()


async def _relay(
    fill: Filling, start: int, end: int, stop: int | None = None
) -> AsyncGenerator[bytes, None]:
    """The upstream's bytes ``start`` to ``end``, over as many connections as it takes.

    ``stop`` is what it is asked for: ``None`` where ``end`` is that of the blob.
    """
    at, failures = start, 0
    while at < end:
        before = at
        try:
            async with fill.source(at, stop) as remote:
                if remote is None:
                    raise UpstreamInvalid("the blob disappeared while it was downloaded")
                async for chunk in remote.chunks():
                    fill.received(len(chunk))
                    at += len(chunk)
                    yield chunk
            if at < end:
                raise UpstreamUnreachable(f"the blob ended after {at} of {end} bytes")
        except UpstreamError as error:
            failures = 1 if at - before >= PROGRESS else failures + 1
            if failures > RESUMES or isinstance(error, UpstreamInvalid):
                raise FillFailed from error
            await fill.pause(failures)


def _clip(chunk: bytes, at: int, start: int, stop: int) -> bytes:
    """The part of a chunk that begins at ``at`` which lies within ``start`` to ``stop``."""
    return chunk[max(start - at, 0) : max(stop - at, 0)]
