"""An upstream in the hand of a test: what it has, when it answers, and every byte it sends."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.manifest import Descriptor, Manifest
from mirror.oci.reference import RepositoryName, Tag
from mirror.oci.referrers import Referrer
from mirror.ports.upstream import Quota, RemoteBlob, UpstreamError, UpstreamStatus
from tests.simulated_hub import Image, Index
from tests.simulated_hub.bell import Bell

CHUNK = 64 * 1024

What = Literal["resolve", "manifest", "head", "blob", "tags", "referrers"]

WELL = UpstreamStatus("ok", None, None, 0, 0, 0, 0, None)
FAILING = UpstreamStatus("failing", "it was told to fail", None, 0, 0, 0, 0, None)
THROTTLED = UpstreamStatus("throttled", "it was told to refuse", None, 0, 0, 0, 0, None)
USED_UP = UpstreamStatus(
    "ok", None, None, 0, 0, 0, 0, Quota(100, 0, 21600, None, datetime(2026, 1, 1, tzinfo=UTC))
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One question, in the order they came."""

    what: What
    name: str
    reference: str
    start: int = 0
    stop: int | None = None


class Tap:
    """A download that gives what the test lets out of it: a RemoteBlob."""

    def __init__(self, asked: Asked, content: bytes, size: int | None) -> None:
        self.asked = asked
        self.is_open = True
        self._rest = content[asked.start : asked.stop]
        self._size = size
        self._flow: asyncio.Queue[bytes | UpstreamError | None] = asyncio.Queue()

    @property
    def size(self) -> int | None:
        return self._size

    @property
    def start(self) -> int:
        return self.asked.start

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

    async def chunks(self) -> AsyncIterator[bytes]:
        while (item := await self._flow.get()) is not None:
            if isinstance(item, UpstreamError):
                raise item
            yield item


@dataclass(frozen=True, slots=True)
class Stream:
    """A download that runs by itself."""

    content: bytes
    start: int
    size: int | None

    async def chunks(self) -> AsyncIterator[bytes]:
        for position in range(0, len(self.content), CHUNK):
            await asyncio.sleep(0)
            yield self.content[position : position + CHUNK]


@dataclass(slots=True)
class ScriptedUpstream:
    """An ``Upstream``. All that it has may change at any time."""

    status_now: UpstreamStatus = WELL
    tags: dict[tuple[str, str], Manifest] = field(default_factory=dict, repr=False)
    manifests: dict[tuple[str, Digest], Manifest] = field(default_factory=dict, repr=False)
    blobs: dict[tuple[str, Digest], bytes] = field(default_factory=dict, repr=False)
    tag_lists: dict[str, tuple[Tag, ...]] = field(default_factory=dict, repr=False)
    referrers: dict[tuple[str, Digest], tuple[Referrer, ...]] = field(
        default_factory=dict, repr=False
    )
    unclear_heads: bool = False
    """Whether a HEAD does not tell what a tag names, so that a GET brings it."""
    trouble: dict[What, UpstreamError] = field(default_factory=dict)
    announced: dict[Digest, int | None] = field(default_factory=dict)
    """The sizes that downloads claim, where they are not the real ones."""
    by_hand: set[Digest] = field(default_factory=set)
    asked: list[Asked] = field(default_factory=list)
    open_downloads: int = 0
    bell: Bell = field(default_factory=Bell)
    _gates: dict[What, asyncio.Event] = field(default_factory=dict)
    _taps: asyncio.Queue[Tap] = field(default_factory=asyncio.Queue)

    # What it has.

    def push(self, name: str, tag: str | None, pushed: Image | Index) -> Manifest:
        manifest = manifest_of(pushed)
        if isinstance(pushed, Index):
            for image in pushed.images:
                self.push(name, None, image)
        else:
            for digest, content in pushed.blobs.items():
                self.blobs[name, parse_digest(digest)] = content
        self.put(name, tag, manifest)
        return manifest

    def put(self, name: str, tag: str | None, manifest: Manifest) -> None:
        self.manifests[name, manifest.digest] = manifest
        if tag is not None:
            self.tags[name, tag] = manifest

    def put_blob(self, name: str, digest: Digest, content: bytes) -> None:
        self.blobs[name, digest] = content

    # What it was asked.

    def questions(self, what: What, name: str | None = None) -> list[Asked]:
        return [each for each in self.asked if each.what == what and name in (None, each.name)]

    def count(self, what: What, name: str | None = None) -> int:
        return len(self.questions(what, name))

    async def next_tap(self) -> Tap:
        """The next download of a blob that goes by hand, as soon as somebody began it."""
        async with asyncio.timeout(5):
            return await self._taps.get()

    async def until_asked(self, what: What, count: int = 1) -> None:
        async with asyncio.timeout(5):
            await self.bell.until(lambda: self.count(what) >= count)

    @contextmanager
    def silent(self, what: What) -> Iterator[None]:
        """Within it such questions are heard and not answered."""
        gate = self._gates[what] = asyncio.Event()
        try:
            yield
        finally:
            del self._gates[what]
            gate.set()

    # The port.

    async def resolve(self, name: RepositoryName, tag: Tag) -> Descriptor | Manifest | None:
        await self._hear(Asked("resolve", str(name), str(tag)))
        manifest = self.tags.get((str(name), str(tag)))
        if manifest is None or self.unclear_heads:
            return manifest
        return manifest.descriptor

    async def get_manifest(self, name: RepositoryName, digest: Digest) -> Manifest | None:
        await self._hear(Asked("manifest", str(name), str(digest)))
        return self.manifests.get((str(name), digest))

    async def head_blob(self, name: RepositoryName, digest: Digest) -> int | None:
        await self._hear(Asked("head", str(name), str(digest)))
        content = self.blobs.get((str(name), digest))
        return None if content is None else len(content)

    @asynccontextmanager
    async def open_blob(
        self, name: RepositoryName, digest: Digest, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[RemoteBlob | None]:
        asked = Asked("blob", str(name), str(digest), start, stop)
        await self._hear(asked)
        content = self.blobs.get((str(name), digest))
        if content is None:
            yield None
            return
        size = self.announced.get(digest, len(content))
        self.open_downloads += 1
        try:
            if digest not in self.by_hand:
                yield Stream(content[start:stop], start, size)
                return
            tap = Tap(asked, content, size)
            self._taps.put_nowait(tap)
            try:
                yield tap
            finally:
                tap.is_open = False
        finally:
            self.open_downloads -= 1
            self.bell.ring()

    async def list_tags(self, name: RepositoryName) -> tuple[Tag, ...] | None:
        await self._hear(Asked("tags", str(name), ""))
        return self.tag_lists.get(str(name))

    async def list_referrers(
        self, name: RepositoryName, digest: Digest
    ) -> tuple[Referrer, ...] | None:
        await self._hear(Asked("referrers", str(name), str(digest)))
        return self.referrers.get((str(name), digest))

    def status(self) -> UpstreamStatus:
        return self.status_now

    async def close(self) -> None:
        """Nothing to let go of."""

    async def _hear(self, asked: Asked) -> None:
        self.asked.append(asked)
        self.bell.ring()
        gate = self._gates.get(asked.what)
        await (asyncio.sleep(0) if gate is None else gate.wait())
        error = self.trouble.get(asked.what)
        if error is not None:
            raise error


def manifest_of(image: Image | Index) -> Manifest:
    return Manifest(image.media_type, parse_digest(image.digest), image.content)
