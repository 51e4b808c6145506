"""A metadata store wrapped round another one: what is asked on every pull is answered from memory.

For the one process that writes: what others write to the same store is not noticed.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
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
        change = self._store.put_tag(repository, tag, record)
        await self._finish(self._tags.write(repository, {tag: kept_record(record)}, change))

    async def delete_tag(self, repository: Repository, tag: Tag) -> bool:
        return await self._finish(self._delete_tag(repository, tag))

    async def list_tags(
        self, repository: Repository, after: Tag | None, limit: int
    ) -> Sequence[Tag]:
        return await self._store.list_tags(repository, after, limit)

    async def get_manifest(self, repository: Repository, digest: Digest) -> Descriptor | None:
        return await self._manifests.read(repository, digest, self._store.get_manifest)

    async def put_manifest(
        self,
        repository: Repository,
        descriptor: Descriptor,
        references: References | None,
        stored_at: datetime,
    ) -> None:
        change = self._store.put_manifest(repository, descriptor, references, stored_at)
        # A client that got the manifest asks for its blobs next.
        sizes = {blob.digest: blob.size for blob in references.blobs} if references else {}
        await self._finish(self._linked_sizes.write(repository, sizes, change))

    async def delete_manifest(self, repository: Repository, digest: Digest) -> bool:
        return await self._finish(self._delete_manifest(repository, digest))

    async def get_blob(self, repository: Repository, digest: Digest) -> BlobRecord | None:
        return await self._blobs.read(repository, digest, self._store.get_blob)

    async def get_stored(self, digest: Digest) -> BlobRecord | None:
        return await self._store.get_stored(digest)

    async def linked_size(self, repository: Repository, digest: Digest) -> int | None:
        return await self._linked_sizes.read(repository, digest, self._store.linked_size)

    async def put_blob(self, repository: Repository, blob: BlobRecord, stored_at: datetime) -> None:
        change = self._store.put_blob(repository, blob, stored_at)
        await self._finish(self._blobs.write(repository, {blob.digest: blob}, change))

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

    async def _delete_tag(self, repository: Repository, tag: Tag) -> bool:
        try:
            return await self._store.delete_tag(repository, tag)
        finally:
            self._tags.forget(repository, tag)

    async def _delete_manifest(self, repository: Repository, digest: Digest) -> bool:
        try:
            return await self._store.delete_manifest(repository, digest)
        finally:
            self._forget_manifest(repository, digest)

    async def _forget_blob(self, digest: Digest) -> bool:
        try:
            return await self._store.forget_blob(digest)
        finally:
            self._blobs.forget_everywhere(digest)

    async def _evict(
        self,
        manifests: Sequence[IdleManifest],
        blobs: Sequence[Digest],
        unless_used_after: datetime,
    ) -> Sequence[BlobRecord]:
        try:
            return await self._store.evict(manifests, blobs, unless_used_after)
        finally:
            for manifest in manifests:
                self._forget_manifest(manifest.repository, manifest.descriptor.digest)
            for digest in blobs:
                self._blobs.forget_everywhere(digest)

    def _forget_manifest(self, repository: Repository, digest: Digest) -> None:
        """Which tags and links go with it is not known here: all of the repository may."""
        self._manifests.forget(repository, digest)
        self._tags.forget_repository(repository)
        self._blobs.forget_repository(repository)
        self._linked_sizes.forget_repository(repository)

    async def _finish(self, write: Coroutine[None, None, T]) -> T:
        task = asyncio.ensure_future(write)
        self._writes.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def _finished(self, write: asyncio.Task[Any]) -> None:
        self._writes.discard(write)
        if not write.cancelled():
            write.exception()  # nobody may be left to take it
