"""The store in memory with doors in it: a call does what it does, and waits behind the door."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from mirror.metadata.memory import MemoryMetadata
from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor, References
from mirror.oci.reference import Tag
from mirror.ports.hosting import LinkCursor, Push, PushOutcome, Removal
from mirror.ports.metadata import BlobRecord, IdleManifest, MetadataError, TagRecord
from mirror.ports.repository import Repository


class Door:
    """Open unless shut. Counts those who came to it."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._came = asyncio.Condition()
        self._count = 0

    def shut(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    async def pass_through(self) -> None:
        async with self._came:
            self._count += 1
            self._came.notify_all()
        await self._open.wait()

    async def reached(self, count: int) -> None:
        async with self._came:
            await self._came.wait_for(lambda: self._count >= count)


class SlowMetadata(MemoryMetadata):
    """Answers to reads, and the beginning and the end of writes, can be held up."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = Door()
        self.before = Door()
        self.after = Door()
        self.reads: dict[str, int] = defaultdict(int)
        self.is_broken = False

    async def get_tag(self, repository: Repository, tag: Tag) -> TagRecord | None:
        self.reads["tag"] += 1
        record = await super().get_tag(repository, tag)
        await self.answers.pass_through()
        return record

    async def get_blob(self, repository: Repository, digest: Digest) -> BlobRecord | None:
        self.reads["blob"] += 1
        found = await super().get_blob(repository, digest)
        await self.answers.pass_through()
        return found

    async def get_manifest(self, repository: Repository, digest: Digest) -> Descriptor | None:
        self.reads["manifest"] += 1
        found = await super().get_manifest(repository, digest)
        await self.answers.pass_through()
        return found

    async def linked_size(self, repository: Repository, digest: Digest) -> int | None:
        self.reads["size"] += 1
        found = await super().linked_size(repository, digest)
        await self.answers.pass_through()
        return found

    async def put_tag(self, repository: Repository, tag: Tag, record: TagRecord) -> None:
        await self.before.pass_through()
        await super().put_tag(repository, tag, record)
        await self.after.pass_through()
        if self.is_broken:
            raise MetadataError("the disk went away")

    async def put_manifest(
        self,
        repository: Repository,
        descriptor: Descriptor,
        references: References | None,
        stored_at: datetime,
    ) -> None:
        await super().put_manifest(repository, descriptor, references, stored_at)
        await self.after.pass_through()

    async def delete_manifest(self, repository: Repository, digest: Digest) -> bool:
        was_there = await super().delete_manifest(repository, digest)
        await self.after.pass_through()
        return was_there

    async def forget_blob(self, digest: Digest) -> bool:
        was_there = await super().forget_blob(digest)
        await self.after.pass_through()
        return was_there

    async def evict(
        self,
        manifests: Sequence[IdleManifest],
        blobs: Sequence[Digest],
        unless_used_after: datetime,
    ) -> Sequence[BlobRecord]:
        gone = await super().evict(manifests, blobs, unless_used_after)
        await self.after.pass_through()
        return gone

    async def push_manifest(self, push: Push) -> PushOutcome:
        await self.before.pass_through()
        outcome = await super().push_manifest(push)
        await self.after.pass_through()
        if self.is_broken:
            raise MetadataError("the disk went away")
        return outcome

    async def remove_manifest(self, repository: Repository, digest: Digest) -> Removal:
        removal = await super().remove_manifest(repository, digest)
        await self.after.pass_through()
        return removal

    async def unlink_blob(self, repository: Repository, digest: Digest) -> Removal:
        removal = await super().unlink_blob(repository, digest)
        await self.after.pass_through()
        return removal

    async def collect_blobs(
        self, digests: Sequence[Digest], unless_after: datetime
    ) -> Sequence[BlobRecord]:
        gone = await super().collect_blobs(digests, unless_after)
        await self.after.pass_through()
        return gone

    async def collect_links(
        self, unless_after: datetime, after: LinkCursor | None, limit: int
    ) -> tuple[int, LinkCursor | None]:
        collected = await super().collect_links(unless_after, after, limit)
        await self.after.pass_through()
        return collected
