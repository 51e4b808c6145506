"""What an upstream was asked, and downloads that send what a test says."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

from mirror.ports.upstream import UpstreamError, UpstreamInvalid, UpstreamUnreachable

CHUNK = 64 * 1024

What = Literal["resolve", "manifest", "head", "blob", "tags", "referrers"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One question, in the order they came."""

    what: What
    name: str
    reference: str
    start: int = 0
    stop: int | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """What a download sends, of a blob that is said to have ``size`` bytes."""

    content: bytes
    start: int
    stop: int | None
    size: int | None

    async def kept(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The chunks, as many as were promised. Raises when there are fewer, or more."""
        promised = self._promised
        async for chunk in chunks:
            kept = chunk if promised is None else chunk[:promised]
            if kept:
                yield kept
            if promised is not None:
                promised -= len(kept)
            if len(kept) < len(chunk):
                raise UpstreamInvalid("it sent more bytes of a blob than it promised")
        if promised:
            raise UpstreamUnreachable("the answer ended early")

    @property
    def _promised(self) -> int | None:
        if self.size is None:
            return None
        return min(self.size, self.size if self.stop is None else self.stop) - self.start


class Tap:
    """A download that gives what the test lets out of it: a RemoteBlob."""

    def __init__(self, asked: Asked, body: Body) -> None:
        self.asked = asked
        self.is_open = True
        self._body = body
        self._rest = body.content
        self._flow: asyncio.Queue[bytes | UpstreamError | None] = asyncio.Queue()

    @property
    def size(self) -> int | None:
        return self._body.size

    @property
    def start(self) -> int:
        return self._body.start

    def let(self, count: int) -> None:
        """The next so many bytes."""
        self._flow.put_nowait(self._rest[:count])
        self._rest = self._rest[count:]

    def send(self, chunk: bytes) -> None:
        """Bytes of the test's own making, in place of as many of the blob's."""
        self._flow.put_nowait(chunk)
        self._rest = self._rest[len(chunk) :]

    def let_rest(self) -> None:
        self.let(len(self._rest))
        self.end()

    def end(self) -> None:
        self._flow.put_nowait(None)

    def fail(self, error: UpstreamError) -> None:
        self._flow.put_nowait(error)

    def chunks(self) -> AsyncIterator[bytes]:
        return self._body.kept(self._flowing())

    async def _flowing(self) -> AsyncIterator[bytes]:
        while (item := await self._flow.get()) is not None:
            if isinstance(item, UpstreamError):
                raise item
            yield item


@dataclass(frozen=True, slots=True)
class Stream:
    """A download that runs by itself: a RemoteBlob."""

    body: Body

    @property
    def size(self) -> int | None:
        return self.body.size

    @property
    def start(self) -> int:
        return self.body.start

    def chunks(self) -> AsyncIterator[bytes]:
        return self.body.kept(self._flowing())

    async def _flowing(self) -> AsyncIterator[bytes]:
        for position in range(0, len(self.body.content), CHUNK):
            await asyncio.sleep(0)
            yield self.body.content[position : position + CHUNK]
