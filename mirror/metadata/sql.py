"""The facts in a SQL database: every method of the ports, each one transaction.

The statements are in the modules named after what they are about.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from mirror.metadata import (
    blobs,
    catalog,
    collection,
    eviction,
    idle_blobs,
    idle_manifests,
    inventory,
    manifests,
    pushes,
    referrers,
    stale_links,
    tags,
    usage,
)
from mirror.metadata.database import Database
from mirror.metadata.sqlite_database import PATIENCE, open_sqlite_database
from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor, References
from mirror.oci.reference import Tag
from mirror.ports.hosting import DeadBlob, LinkCursor, Push, PushOutcome, Removal
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


async def open_sqlite(path: Path, patience: timedelta = PATIENCE) -> "SqlMetadata":
    """The facts in one file, made if need be; its folder must be there.

    ``patience`` is how long to wait while another process holds the file. Raises MetadataNewer
    where a later version of the server wrote it, and MetadataError where it is damaged, locked,
    or nothing of ours.
    """
    return SqlMetadata(await open_sqlite_database(path, patience))


class SqlMetadata:
    """All ``mirror.ports.hosting.Facts``.

    A transaction whose caller is cancelled once it has begun is still carried out.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get_tag(self, repository: Repository, tag: Tag) -> TagRecord | None:
        return await self._database.read(tags.get_tag, repository, tag)

    async def put_tag(self, repository: Repository, tag: Tag, record: TagRecord) -> None:
        await self._database.write(tags.put_tag, repository, tag, record)

    async def delete_tag(self, repository: Repository, tag: Tag) -> bool:
        return await self._database.write(tags.delete_tag, repository, tag)

    async def list_tags(
        self, repository: Repository, after: Tag | None, limit: int
    ) -> Sequence[Tag]:
        return await self._database.scan(tags.list_tags, repository, after, limit)

    async def get_manifest(self, repository: Repository, digest: Digest) -> Descriptor | None:
        return await self._database.read(manifests.get_manifest, repository, digest)

    async def put_manifest(
        self,
        repository: Repository,
        descriptor: Descriptor,
        references: References | None,
        stored_at: datetime,
    ) -> None:
        await self._database.write(
            manifests.put_manifest, repository, descriptor, references, stored_at
        )

    async def delete_manifest(self, repository: Repository, digest: Digest) -> bool:
        return await self._database.write(manifests.delete_manifest, repository, digest)

    async def get_blob(self, repository: Repository, digest: Digest) -> BlobRecord | None:
        return await self._database.read(blobs.get_blob, repository, digest)

    async def get_stored(self, digest: Digest) -> BlobRecord | None:
        return await self._database.read(blobs.get_stored, digest)

    async def linked_size(self, repository: Repository, digest: Digest) -> int | None:
        return await self._database.read(blobs.linked_size, repository, digest)

    async def put_blob(self, repository: Repository, blob: BlobRecord, stored_at: datetime) -> None:
        await self._database.write(blobs.put_blob, repository, blob, stored_at)

    async def link_blob(self, repository: Repository, digest: Digest) -> None:
        await self._database.write(blobs.link_blob, repository, digest)

    async def forget_blob(self, digest: Digest) -> bool:
        return await self._database.write(blobs.forget_blob, digest)

    async def record_uses(self, uses: Mapping[Use, datetime]) -> None:
        await self._database.write(usage.record_uses, uses)

    async def load_counters(self) -> Mapping[str, int]:
        return await self._database.read(usage.load_counters)

    async def add_counters(self, increments: Mapping[str, int]) -> None:
        await self._database.write(usage.add_counters, increments)

    async def list_idle_manifests(
        self, after: Cursor | None, limit: int
    ) -> tuple[Sequence[IdleManifest], Cursor | None]:
        return await self._database.scan(idle_manifests.list_idle_manifests, after, limit)

    async def list_idle_blobs(
        self, after: Cursor | None, limit: int
    ) -> tuple[Sequence[IdleBlob], Cursor | None]:
        return await self._database.scan(idle_blobs.list_idle_blobs, after, limit)

    async def evict(
        self,
        manifests: Sequence[IdleManifest],
        blobs: Sequence[Digest],
        unless_used_after: datetime,
    ) -> Sequence[BlobRecord]:
        return await self._database.write_much(eviction.evict, manifests, blobs, unless_used_after)

    async def totals(self) -> Totals:
        return await self._database.scan(inventory.totals)

    async def list_images(
        self, repository: Repository | None, after: str | None, limit: int
    ) -> tuple[Sequence[ImageSummary], str | None]:
        return await self._database.scan(inventory.list_images, repository, after, limit)

    async def push_manifest(self, push: Push) -> PushOutcome:
        return await self._database.write(pushes.push_manifest, push)

    async def remove_manifest(self, repository: Repository, digest: Digest) -> Removal:
        return await self._database.write(pushes.remove_manifest, repository, digest)

    async def mount_blob(
        self, repository: Repository, digest: Digest, at: datetime
    ) -> BlobRecord | None:
        return await self._database.write(pushes.mount_blob, repository, digest, at)

    async def renew_link(
        self, repository: Repository, digest: Digest, at: datetime
    ) -> BlobRecord | None:
        return await self._database.write(pushes.renew_link, repository, digest, at)

    async def unlink_blob(self, repository: Repository, digest: Digest) -> Removal:
        return await self._database.write(pushes.unlink_blob, repository, digest)

    async def list_owners(self, digest: Digest, limit: int) -> Sequence[Repository]:
        return await self._database.read(pushes.list_owners, digest, limit)

    async def list_referrers(
        self, repository: Repository, subject: Digest, after: Digest | None, limit: int
    ) -> Sequence[Descriptor]:
        return await self._database.scan(
            referrers.list_referrers, repository, subject, after, limit
        )

    async def list_repositories(
        self, after: str | None, limit: int, *, hosted_only: bool = False
    ) -> Sequence[Repository]:
        return await self._database.scan(
            catalog.list_repositories, after, limit, hosted_only=hosted_only
        )

    async def list_dead_blobs(
        self, unless_after: datetime, after: Digest | None, limit: int
    ) -> Sequence[DeadBlob]:
        """One transaction for each slice: whoever else scans gets in between."""
        found: list[DeadBlob] = []
        start: str | None = collection.BEFORE_ALL if after is None else str(after)
        while start is not None and len(found) < limit:
            some, start = await self._database.scan(
                collection.list_dead_blobs, unless_after, start, limit - len(found)
            )
            found += some
        return found

    async def collect_blobs(
        self, digests: Sequence[Digest], unless_after: datetime
    ) -> Sequence[BlobRecord]:
        return await self._database.write_much(collection.collect_blobs, digests, unless_after)

    async def collect_links(
        self, unless_after: datetime, after: LinkCursor | None, limit: int
    ) -> tuple[int, LinkCursor | None]:
        """Looks at one slice; nobody who writes waits for that."""
        stale, last = await self._database.scan(
            stale_links.list_stale_links, unless_after, stale_links.place_of(after), limit
        )
        count = 0
        if stale:
            count = await self._database.write(stale_links.remove_links, stale, unless_after)
        return count, None if last is None else last.cursor

    async def close(self) -> None:
        await self._database.close()
