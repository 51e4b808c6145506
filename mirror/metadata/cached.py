"""A metadata store wrapped round another one: what is asked on every pull is answered from memory.

For the one process that writes: what others write to the same store is not noticed.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from mirror.metadata.fact_cache import FactCache
from mirror.metadata.kept import kept_record
from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor, References
from mirror.oci.reference import Tag
from mirror.ports.metadata import (
    BlobRecord,
    Cursor,
    IdleBlob,
    IdleManifest,
    ImageSummary,
    MetadataStore,
    TagRecord,
    Totals,
    Use,
)
from mirror.ports.repository import Repository

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CacheSizes:
    """How many of each to remember; each takes about half a kilobyte."""

    tags: int = 10_000
    manifests: int = 20_000
    blobs: int = 50_000
    linked_sizes: int = 10_000


class CachedMetadata:
    """A ``MetadataStore`` and its ``QuickFacts``.

    A write goes on when its caller is cancelled: only when it has ended is it known what to
    forget.
    """

    def __init__(self, store: MetadataStore, sizes: CacheSizes | None = None) -> None:
        limits = sizes or CacheSizes()
        self._store = store
        self._tags: FactCache[Tag, TagRecord] = FactCache(limits.tags)
        self._manifests: FactCache[Digest, Descriptor] = FactCache(limits.manifests)
        self._blobs: FactCache[Digest, BlobRecord] = FactCache(limits.blobs)
        self._linked_sizes: FactCache[Digest, int] = FactCache(limits.linked_sizes)
        self._writes: set[asyncio.Task[Any]] = set()

    def peek_tag(self, repository: Repository, tag: Tag) -> TagRecord | None:
        return self._tags.peek(repository, tag)

    def peek_manifest(self, repository: Repository, digest: Digest) -> Descriptor | None:
        return self._manifests.peek(repository, digest)

    def peek_blob(self, repository: Repository, digest: Digest) -> BlobRecord | None:
        return self._blobs.peek(repository, digest)

    async def get_tag(self, repository: Repository, tag: Tag) -> TagRecord | None:
        return await self._tags.read(repository, tag, self._store.get_tag)

    async def put_tag(self, repository: Repository, tag: Tag, record: TagRecord) -> None:
        await self._finish(self._put_tag(repository, tag, record))

    async def delete_tag(self, repository: Repository, tag: Tag) -> bool:
        return await self._finish(self._delete_tag(repository, tag))

    async def get_manifest(self, repository: Repository, digest: Digest) -> Descriptor | None:
        return await self._manifests.read(repository, digest, self._store.get_manifest)

    async def put_manifest(
        self,
        repository: Repository,
        descriptor: Descriptor,
        references: References | None,
        stored_at: datetime,
    ) -> None:
        await self._finish(self._put_manifest(repository, descriptor, references, stored_at))

    async def delete_manifest(self, repository: Repository, digest: Digest) -> bool:
        return await self._finish(self._delete_manifest(repository, digest))

    async def get_blob(self, repository: Repository, digest: Digest) -> BlobRecord | None:
        return await self._blobs.read(repository, digest, self._store.get_blob)

    async def get_stored(self, digest: Digest) -> BlobRecord | None:
        return await self._store.get_stored(digest)

    async def linked_size(self, repository: Repository, digest: Digest) -> int | None:
        return await self._linked_sizes.read(repository, digest, self._store.linked_size)

    async def put_blob(self, repository: Repository, blob: BlobRecord, stored_at: datetime) -> None:
        await self._finish(self._put_blob(repository, blob, stored_at))

    async def link_blob(self, repository: Repository, digest: Digest) -> None:
        await self._store.link_blob(repository, digest)

    async def forget_blob(self, digest: Digest) -> bool:
        return await self._finish(self._forget_blob(digest))

    async def record_uses(self, uses: Mapping[Use, datetime]) -> None:
        await self._store.record_uses(uses)

    async def load_counters(self) -> Mapping[str, int]:
        return await self._store.load_counters()

    async def add_counters(self, increments: Mapping[str, int]) -> None:
        await self._store.add_counters(increments)

    async def list_idle_manifests(
        self, after: Cursor | None, limit: int
    ) -> tuple[Sequence[IdleManifest], Cursor | None]:
        return await self._store.list_idle_manifests(after, limit)

    async def list_idle_blobs(
        self, after: Cursor | None, limit: int
    ) -> tuple[Sequence[IdleBlob], Cursor | None]:
        return await self._store.list_idle_blobs(after, limit)

    async def evict(
        self,
        manifests: Sequence[IdleManifest],
        blobs: Sequence[Digest],
        unless_used_after: datetime,
    ) -> Sequence[BlobRecord]:
        return await self._finish(self._evict(manifests, blobs, unless_used_after))

    async def totals(self) -> Totals:
        return await self._store.totals()

    async def list_images(
        self, repository: Repository | None, after: str | None, limit: int
    ) -> tuple[Sequence[ImageSummary], str | None]:
        return await self._store.list_images(repository, after, limit)

    async def close(self) -> None:
        """After the writes that go on, close the store."""
        if self._writes:
            await asyncio.wait(self._writes)
        await self._store.close()

    async def _put_tag(self, repository: Repository, tag: Tag, record: TagRecord) -> None:
        with self._tags.writing(partial(self._tags.forget, repository, tag)) as generation:
            await self._store.put_tag(repository, tag, record)
        self._tags.remember(repository, tag, kept_record(record), generation)

    async def _delete_tag(self, repository: Repository, tag: Tag) -> bool:
        with self._tags.writing(partial(self._tags.forget, repository, tag)):
            return await self._store.delete_tag(repository, tag)

    async def _put_manifest(
        self,
        repository: Repository,
        descriptor: Descriptor,
        references: References | None,
        stored_at: datetime,
    ) -> None:
        """Adds to what is known, and contradicts nothing but sizes."""

        def forget() -> None:
            for blob in references.blobs if references else ():
                self._linked_sizes.forget(repository, blob.digest)

        with self._linked_sizes.writing(forget) as generation:
            await self._store.put_manifest(repository, descriptor, references, stored_at)
        # A client that got the manifest asks for its blobs next.
        for blob in references.blobs if references else ():
            self._linked_sizes.remember(repository, blob.digest, blob.size, generation)

    async def _delete_manifest(self, repository: Repository, digest: Digest) -> bool:
        with self._removing({repository: [digest]}, ()):
            return await self._store.delete_manifest(repository, digest)

    async def _put_blob(
        self, repository: Repository, blob: BlobRecord, stored_at: datetime
    ) -> None:
        forget = partial(self._blobs.forget, repository, blob.digest)
        with self._blobs.writing(forget) as generation:
            await self._store.put_blob(repository, blob, stored_at)
        self._blobs.remember(repository, blob.digest, blob, generation)

    async def _forget_blob(self, digest: Digest) -> bool:
        with self._blobs.writing(partial(self._blobs.forget_everywhere, digest)):
            return await self._store.forget_blob(digest)

    async def _evict(
        self,
        manifests: Sequence[IdleManifest],
        blobs: Sequence[Digest],
        unless_used_after: datetime,
    ) -> Sequence[BlobRecord]:
        removed: dict[Repository, list[Digest]] = {}
        for manifest in manifests:
            removed.setdefault(manifest.repository, []).append(manifest.descriptor.digest)
        with self._removing(removed, blobs):
            return await self._store.evict(manifests, blobs, unless_used_after)

    @contextmanager
    def _removing(
        self, manifests: Mapping[Repository, Sequence[Digest]], blobs: Sequence[Digest]
    ) -> Iterator[None]:
        """Which tags and links go with a manifest is not known here: all of its repository may."""

        def forget_manifests() -> None:
            for repository, digests in manifests.items():
                for digest in digests:
                    self._manifests.forget(repository, digest)

        def forget_blobs() -> None:
            for repository in manifests:
                self._blobs.forget_repository(repository)
            for digest in blobs:
                self._blobs.forget_everywhere(digest)

        with (
            self._manifests.writing(forget_manifests),
            self._blobs.writing(forget_blobs),
            self._tags.writing(partial(_forget_all, self._tags, manifests)),
            self._linked_sizes.writing(partial(_forget_all, self._linked_sizes, manifests)),
        ):
            yield

    async def _finish(self, write: Coroutine[None, None, T]) -> T:
        task = asyncio.ensure_future(write)
        self._writes.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def _finished(self, write: asyncio.Task[Any]) -> None:
        self._writes.discard(write)
        if not write.cancelled():
            write.exception()  # nobody may be left to take it


def _forget_all(cache: FactCache[Any, Any], repositories: Iterable[Repository]) -> None:
    for repository in repositories:
        cache.forget_repository(repository)
