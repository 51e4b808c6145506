"""An upstream in the hand of a test: what it has, when it answers, and every byte it sends.

It keeps the promises of the port as real ones do: ``tests/conformance`` holds it to them.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.errors import ManifestInvalid
from mirror.oci.manifest import Descriptor, Manifest, check_manifest
from mirror.oci.media_type import OCI_INDEX
from mirror.oci.reference import RepositoryName, Tag
from mirror.oci.referrers import Referrer, parse_referrers
from mirror.ports.upstream import (
    Quota,
    RemoteBlob,
    UpstreamError,
    UpstreamFailed,
    UpstreamInvalid,
    UpstreamStatus,
    UpstreamThrottled,
    UpstreamUnreachable,
)
from tests.registry.scripted_download import Asked, Body, Stream, Tap, What
from tests.simulated_hub import Image, Index
from tests.simulated_hub.bell import Bell
from tests.simulated_hub.content import encoded
from tests.simulated_hub.repositories import Manifest as Held
from tests.simulated_hub.repositories import Repository

FAILURES_TO_REPORT = 3
PATIENCE = 30
"""Seconds: only a test that fails has to wait for so long."""
SAYS_HOW_IT_DOES = (UpstreamThrottled, UpstreamFailed, UpstreamUnreachable)

WELL = UpstreamStatus("ok", None, None, 0, 0, 0, 0, None)
FAILING = UpstreamStatus("failing", "it was told to fail", None, 0, 0, 0, 0, None)
THROTTLED = UpstreamStatus("throttled", "it was told to refuse", None, 0, 0, 0, 0, None)
USED_UP = UpstreamStatus(
    "ok", None, None, 0, 0, 0, 0, Quota(100, 0, 21600, None, datetime(2026, 1, 1, tzinfo=UTC))
)


@dataclass(slots=True)
class ScriptedUpstream:
    """An ``Upstream``. All that it has may change at any time."""

    status_now: UpstreamStatus = WELL
    tags: dict[tuple[str, str], Manifest] = field(default_factory=dict, repr=False)
    manifests: dict[tuple[str, Digest], Manifest] = field(default_factory=dict, repr=False)
    blobs: dict[tuple[str, Digest], bytes] = field(default_factory=dict, repr=False)
    tag_lists: dict[str, tuple[Tag, ...]] = field(default_factory=dict, repr=False)
    """What it lists where that is not the tags it has."""
    referrers: dict[tuple[str, Digest], tuple[Referrer, ...]] = field(
        default_factory=dict, repr=False
    )
    """What it lists where that is not what refers to the digest."""
    lists_referrers: bool = True
    """Whether it knows how to."""
    unclear_heads: bool = False
    """Whether a HEAD does not tell what a tag names, so that a GET brings it."""
    trouble: dict[What, UpstreamError] = field(default_factory=dict)
    announced: dict[Digest, int | None] = field(default_factory=dict)
    """The sizes that downloads claim, where they are not the real ones."""
    cuts: dict[Digest, int] = field(default_factory=dict)
    """After how many bytes the next download breaks off."""
    by_hand: set[Digest] = field(default_factory=set)
    turns: int = 1
    """How often the event loop turns round before it answers."""
    asked: list[Asked] = field(default_factory=list)
    open_downloads: int = 0
    bell: Bell = field(default_factory=Bell)
    _troubles: list[UpstreamError] = field(default_factory=list)
    """Those in a row that say how it does."""
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
        async with asyncio.timeout(PATIENCE):
            return await self._taps.get()

    async def until_asked(self, what: What, count: int = 1) -> None:
        async with asyncio.timeout(PATIENCE):
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
        if manifest is None:
            return None
        return verified(manifest) if self.unclear_heads else manifest.descriptor

    async def get_manifest(self, name: RepositoryName, digest: Digest) -> Manifest | None:
        await self._hear(Asked("manifest", str(name), str(digest)))
        manifest = self.manifests.get((str(name), digest))
        return None if manifest is None else verified(manifest)

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
        body = self._body_of(digest, content, asked)
        self.open_downloads += 1
        try:
            if digest not in self.by_hand:
                yield Stream(body)
                return
            tap = Tap(asked, body)
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
        listed = self.tag_lists.get(str(name))
        if listed is not None or not self._knows(name):
            return listed
        return tuple(Tag(tag) for owner, tag in self.tags if owner == str(name))

    async def list_referrers(
        self, name: RepositoryName, digest: Digest
    ) -> tuple[Referrer, ...] | None:
        await self._hear(Asked("referrers", str(name), str(digest)))
        if not self.lists_referrers:
            return None
        listed = self.referrers.get((str(name), digest))
        if listed is not None or not self._knows(name):
            return listed
        return self._referrers_of(name, digest)

    def status(self) -> UpstreamStatus:
        if self._troubles and isinstance(self._troubles[-1], UpstreamThrottled):
            return THROTTLED
        return FAILING if len(self._troubles) >= FAILURES_TO_REPORT else self.status_now

    async def close(self) -> None:
        """Nothing to let go of."""

    async def _hear(self, asked: Asked) -> None:
        self.asked.append(asked)
        self.bell.ring()
        if gate := self._gates.get(asked.what):
            await gate.wait()
        for _ in range(self.turns):
            await asyncio.sleep(0)
        error = self.trouble.get(asked.what)
        self._note(error)
        if error is not None:
            raise error

    def _note(self, error: UpstreamError | None) -> None:
        """An answer of its own, whatever it says, is the end of troubles."""
        if isinstance(error, SAYS_HOW_IT_DOES):
            self._troubles.append(error)
        else:
            self._troubles.clear()

    def _knows(self, name: RepositoryName) -> bool:
        held = (*self.tags, *self.manifests, *self.blobs, *self.referrers)
        return any(owner == str(name) for owner, _ in held)

    def _body_of(self, digest: Digest, content: bytes, asked: Asked) -> Body:
        size = self.announced.get(digest, len(content))
        if 0 < len(content) <= asked.start or len(content) < asked.start:
            raise UpstreamInvalid(f"there are only {len(content)} bytes")
        cut = self.cuts.pop(digest, None)
        sent = content[asked.start : asked.stop][:cut]
        return Body(sent, asked.start, asked.stop, size)

    def _referrers_of(self, name: RepositoryName, digest: Digest) -> tuple[Referrer, ...] | None:
        repository = Repository()
        for (owner, _), pushed in self.manifests.items():
            if owner == str(name):
                held = Held(pushed.content, pushed.media_type, str(pushed.digest))
                repository.manifests[held.digest] = held
        entries = repository.referrers(str(digest))
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
        return parse_referrers(encoded(index))


def verified(manifest: Manifest) -> Manifest:
    """Raises UpstreamInvalid for what is no manifest, and for what has another digest."""
    if not manifest.digest.matches(manifest.content):
        raise UpstreamInvalid(f"what was sent as {manifest.digest} is something else")
    try:
        check_manifest(manifest.content, manifest.media_type)
    except ManifestInvalid as error:
        raise UpstreamInvalid(f"the answer is no manifest: {error}") from error
    return manifest


def manifest_of(image: Image | Index) -> Manifest:
    return Manifest(image.media_type, parse_digest(image.digest), image.content)
