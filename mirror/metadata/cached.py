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
from mirror.ports.hosting import DeadBlob, Facts, LinkCursor, Push, PushOutcome, Removal
from mirror.ports.metadata import (
    BlobRecord,
    Cursor,
    IdleBlob,
    IdleManifest,
    ImageSummary,
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
    """All ``Facts`` and their ``QuickFacts``.

    A write goes on when its caller is cancelled: only when it has ended is it known what to
    forget.
    """

    def __init__(self, store: Facts, sizes: CacheSizes | None = None) -> None:
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

    async def push_manifest(self, push: Push) -> PushOutcome:
        return await self._finish(self._push_manifest(push))

    async def remove_manifest(self, repository: Repository, digest: Digest) -> Removal:
        return await self._finish(self._remove_manifest(repository, digest))

    async def mount_blob(
        self, repository: Repository, digest: Digest, at: datetime
    ) -> BlobRecord | None:
        return await self._store.mount_blob(repository, digest, at)

    async def renew_link(
        self, repository: Repository, digest: Digest, at: datetime
    ) -> BlobRecord | None:
        return await self._store.renew_link(repository, digest, at)

    async def unlink_blob(self, repository: Repository, digest: Digest) -> Removal:
        return await self._finish(self._unlink_blob(repository, digest))

    async def list_owners(self, digest: Digest, limit: int) -> Sequence[Repository]:
        return await self._store.list_owners(digest, limit)

    async def list_referrers(
        self, repository: Repository, subject: Digest, after: Digest | None, limit: int
    ) -> Sequence[Descriptor]:
        return await self._store.list_referrers(repository, subject, after, limit)

    async def list_repositories(
        self, after: str | None, limit: int, *, hosted_only: bool = False
    ) -> Sequence[Repository]:
        return await self._store.list_repositories(after, limit, hosted_only=hosted_only)

    async def list_dead_blobs(
        self, unless_after: datetime, after: Digest | None, limit: int
    ) -> Sequence[DeadBlob]:
        return await self._store.list_dead_blobs(unless_after, after, limit)

    async def collect_blobs(
        self, digests: Sequence[Digest], unless_after: datetime
    ) -> Sequence[BlobRecord]:
        return await self._finish(self._collect_blobs(digests, unless_after))

    async def collect_links(
        self, unless_after: datetime, after: LinkCursor | None, limit: int
    ) -> tuple[int, LinkCursor | None]:
        return await self._finish(self._collect_links(unless_after, after, limit))

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

    async def _push_manifest(self, push: Push) -> PushOutcome:
        """What was linked anew was not remembered; what the tags say now is known to the store."""
        try:
            return await self._store.push_manifest(push)
        finally:
            for tag in push.tags:
                self._tags.forget(push.repository, tag)

    async def _remove_manifest(self, repository: Repository, digest: Digest) -> Removal:
        """The links stay, but their sizes may have been explained by this manifest."""
        try:
            return await self._store.remove_manifest(repository, digest)
        finally:
            self._manifests.forget(repository, digest)
            self._tags.forget_repository(repository)
            self._linked_sizes.forget_repository(repository)

    async def _unlink_blob(self, repository: Repository, digest: Digest) -> Removal:
        try:
            return await self._store.unlink_blob(repository, digest)
        finally:
            self._blobs.forget(repository, digest)

    async def _collect_blobs(
        self, digests: Sequence[Digest], unless_after: datetime
    ) -> Sequence[BlobRecord]:
        """Also one that stayed is asked for again: that it did is known only after the change."""
        try:
            return await self._store.collect_blobs(digests, unless_after)
        finally:
            for digest in digests:
                self._blobs.forget_everywhere(digest)

    async def _collect_links(
        self, unless_after: datetime, after: LinkCursor | None, limit: int
    ) -> tuple[int, LinkCursor | None]:
        """Which links went is not known here: all those of hosted repositories may have."""
        some_went = True
        try:
            count, last = await self._store.collect_links(unless_after, after, limit)
            some_went = count > 0
            return count, last
        finally:
            if some_went:
                self._blobs.forget_where(_is_hosted)

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


def _is_hosted(repository: Repository) -> bool:
    return repository.upstream is None
