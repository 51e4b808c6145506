"""The facts in collections: for tests, and the reference that says what the port means.

Slow where slow is plain. Nothing survives the process.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from mirror.metadata import memory_hosting
from mirror.metadata.kept import kept_record
from mirror.metadata.listing import parse_place, place_of_image
from mirror.metadata.memory_facts import Facts, StoredBlob, StoredManifest
from mirror.metadata.memory_images import summarize_images
from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor, References
from mirror.oci.reference import Tag
from mirror.ports.hosting import DeadBlob, LinkCursor, Push, PushOutcome, Removal
from mirror.ports.metadata import (
    MOST_NEEDS,
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


class MemoryMetadata:
    """All ``mirror.ports.hosting.Facts``. No step waits, so that every call is one transaction."""

    def __init__(self) -> None:
        self._facts = Facts()

    async def get_tag(self, repository: Repository, tag: Tag) -> TagRecord | None:
        return self._facts.tags.get((repository, tag))

    async def put_tag(self, repository: Repository, tag: Tag, record: TagRecord) -> None:
        self._facts.tags[repository, tag] = kept_record(record)

    async def delete_tag(self, repository: Repository, tag: Tag) -> bool:
        return self._facts.tags.pop((repository, tag), None) is not None

    async def list_tags(
        self, repository: Repository, after: Tag | None, limit: int
    ) -> Sequence[Tag]:
        held = [
            tag
            for (owner, tag), record in self._facts.tags.items()
            if owner == repository
            and (owner, record.descriptor.digest) in self._facts.manifests
            and (after is None or tag.value > after.value)
        ]
        return sorted(held, key=str)[:limit]

    async def get_manifest(self, repository: Repository, digest: Digest) -> Descriptor | None:
        manifest = self._facts.manifests.get((repository, digest))
        return manifest.descriptor if manifest else None

    async def put_manifest(
        self,
        repository: Repository,
        descriptor: Descriptor,
        references: References | None,
        stored_at: datetime,
    ) -> None:
        self._facts.put_manifest(repository, descriptor, references, stored_at)

    async def delete_manifest(self, repository: Repository, digest: Digest) -> bool:
        return self._facts.remove_manifest(repository, digest)

    async def get_blob(self, repository: Repository, digest: Digest) -> BlobRecord | None:
        if (repository, digest) not in self._facts.links:
            return None
        return await self.get_stored(digest)

    async def get_stored(self, digest: Digest) -> BlobRecord | None:
        return self._facts.stored(digest)

    async def linked_size(self, repository: Repository, digest: Digest) -> int | None:
        if (repository, digest) not in self._facts.links:
            return None
        sizes = [
            manifest.blobs[digest].size for manifest in self._facts.referring(repository, digest)
        ]
        return max(sizes, default=None)

    async def put_blob(self, repository: Repository, blob: BlobRecord, stored_at: datetime) -> None:
        self._facts.store(blob, stored_at)
        self._facts.link(repository, blob.digest, stored_at)

    async def link_blob(self, repository: Repository, digest: Digest) -> None:
        self._facts.link(repository, digest)

    async def forget_blob(self, digest: Digest) -> bool:
        return self._facts.blobs.pop(digest, None) is not None

    async def record_uses(self, uses: Mapping[Use, datetime]) -> None:
        for use, used_at in uses.items():
            for used in self._used(use):
                used.last_used_at = max(used.last_used_at, used_at)

    async def load_counters(self) -> Mapping[str, int]:
        return dict(self._facts.counters)

    async def add_counters(self, increments: Mapping[str, int]) -> None:
        for name, increment in increments.items():
            self._facts.counters[name] += increment

    async def list_idle_manifests(
        self, after: Cursor | None, limit: int
    ) -> tuple[Sequence[IdleManifest], Cursor | None]:
        rows = [
            (manifest.last_used_at, str(key), self._idle_manifest(manifest))
            for key, manifest in self._facts.manifests.items()
            if _is_evictable(manifest)
        ]
        return _page(rows, after, limit)

    async def list_idle_blobs(
        self, after: Cursor | None, limit: int
    ) -> tuple[Sequence[IdleBlob], Cursor | None]:
        rows = [
            (blob.last_used_at, str(digest), self._idle_blob(digest, blob))
            for digest, blob in self._facts.blobs.items()
            if self._is_idle(digest)
        ]
        return _page(rows, after, limit)

    async def evict(
        self,
        manifests: Sequence[IdleManifest],
        blobs: Sequence[Digest],
        unless_used_after: datetime,
    ) -> Sequence[BlobRecord]:
        for idle in manifests:
            key = (idle.repository, idle.descriptor.digest)
            manifest = self._facts.manifests.get(key)
            if manifest and _is_evictable(manifest) and manifest.last_used_at <= unless_used_after:
                self._facts.remove_manifest(*key)
        return [
            self._facts.remove_blob(digest)
            for digest in dict.fromkeys(blobs)
            if (blob := self._facts.blobs.get(digest))
            and blob.last_used_at <= unless_used_after
            and self._is_idle(digest)
        ]

    async def totals(self) -> Totals:
        return Totals(
            blobs=len(self._facts.blobs),
            bytes=sum(blob.size for blob in self._facts.blobs.values()),
            manifests=len({digest for _, digest in self._facts.manifests}),
            repositories=len({repository for repository, _ in self._facts.manifests}),
            hosted_bytes=memory_hosting.hosted_bytes(self._facts),
        )

    async def list_images(
        self, repository: Repository | None, after: str | None, limit: int
    ) -> tuple[Sequence[ImageSummary], str | None]:
        start = parse_place(after) if after is not None else None
        images = sorted(summarize_images(self._facts), key=place_of_image)
        left = [
            image
            for image in images
            if repository in (None, image.repository)
            and (start is None or place_of_image(image) > start)
        ]
        page = left[:limit]
        return page, str(place_of_image(page[-1])) if len(left) > limit else None

    async def push_manifest(self, push: Push) -> PushOutcome:
        return memory_hosting.push_manifest(self._facts, push)

    async def remove_manifest(self, repository: Repository, digest: Digest) -> Removal:
        return memory_hosting.remove_manifest(self._facts, repository, digest)

    async def mount_blob(
        self, repository: Repository, digest: Digest, at: datetime
    ) -> BlobRecord | None:
        return memory_hosting.mount_blob(self._facts, repository, digest, at)

    async def renew_link(
        self, repository: Repository, digest: Digest, at: datetime
    ) -> BlobRecord | None:
        return memory_hosting.renew_link(self._facts, repository, digest, at)

    async def unlink_blob(self, repository: Repository, digest: Digest) -> Removal:
        return memory_hosting.unlink_blob(self._facts, repository, digest)

    async def list_owners(self, digest: Digest, limit: int) -> Sequence[Repository]:
        return memory_hosting.list_owners(self._facts, digest)[:limit]

    async def list_referrers(
        self, repository: Repository, subject: Digest, after: Digest | None, limit: int
    ) -> Sequence[Descriptor]:
        return memory_hosting.list_referrers(self._facts, repository, subject, after)[:limit]

    async def list_repositories(
        self, after: str | None, limit: int, *, hosted_only: bool = False
    ) -> Sequence[Repository]:
        found = memory_hosting.list_repositories(self._facts, after, hosted_only=hosted_only)
        return found[:limit]

    async def list_dead_blobs(
        self, unless_after: datetime, after: Digest | None, limit: int
    ) -> Sequence[DeadBlob]:
        return memory_hosting.list_dead_blobs(self._facts, unless_after, after)[:limit]

    async def collect_blobs(
        self, digests: Sequence[Digest], unless_after: datetime
    ) -> Sequence[BlobRecord]:
        return memory_hosting.collect_blobs(self._facts, digests, unless_after)

    async def collect_links(
        self, unless_after: datetime, after: LinkCursor | None, limit: int
    ) -> tuple[int, LinkCursor | None]:
        return memory_hosting.collect_links(self._facts, unless_after, after, limit)

    async def close(self) -> None:
        """Nothing to let go of."""

    def _used(self, use: Use) -> Sequence[StoredManifest | StoredBlob]:
        if use.repository is None:
            blob = self._facts.blobs.get(use.digest)
            return [blob] if blob else []
        manifest = self._facts.manifests.get((use.repository, use.digest))
        return list(self._facts.below(manifest)) if manifest else []

    def _idle_manifest(self, manifest: StoredManifest) -> IdleManifest:
        stored = [digest for digest in manifest.needs if digest in self._facts.blobs]
        blobs = [
            (
                BlobRecord(digest, self._facts.blobs[digest].size),
                min(MOST_NEEDS, len(self._facts.needing(digest))) + self._is_hosted(digest),
            )
            for digest in sorted(stored, key=str)
        ]
        tags = self._facts.tags_on(manifest.repository, manifest.digest)
        return IdleManifest(
            manifest.repository,
            manifest.descriptor,
            manifest.last_used_at,
            tuple(sorted(map(str, tags))),
            tuple(blobs),
        )

    def _idle_blob(self, digest: Digest, blob: StoredBlob) -> IdleBlob:
        linking = self._facts.linking(digest)
        upstreams = frozenset(link.upstream for link in linking if link.upstream is not None)
        return IdleBlob(BlobRecord(digest, blob.size), blob.last_used_at, upstreams)

    def _is_idle(self, digest: Digest) -> bool:
        return not self._is_hosted(digest) and not self._facts.needing(digest)

    def _is_hosted(self, digest: Digest) -> bool:
        return any(link.upstream is None for link in self._facts.linking(digest))


def _is_evictable(manifest: StoredManifest) -> bool:
    return manifest.repository.upstream is not None


def _page(
    rows: Sequence[tuple[datetime, str, T]], after: Cursor | None, limit: int
) -> tuple[Sequence[T], Cursor | None]:
    ordered: Sequence[tuple[datetime, str, T]] = sorted(rows, key=_order)
    start = (after.last_used_at, after.key) if after else None
    left = [row for row in ordered if start is None or _order(row) > start]
    page = left[:limit]
    cursor = Cursor(*_order(page[-1])) if len(left) > limit else None
    return [row[2] for row in page], cursor


def _order(row: tuple[datetime, str, object]) -> tuple[datetime, str]:
    return row[0], row[1]
