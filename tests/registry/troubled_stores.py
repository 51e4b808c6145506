"""Stores in memory that fail, wait or say what a test wants."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from mirror.metadata.cached import CachedMetadata
from mirror.metadata.memory import MemoryMetadata
from mirror.oci.digest import Digest, digest_of
from mirror.oci.manifest import Descriptor, References
from mirror.ports.blobs import (
    DigestMismatch,
    Space,
    StorageBusy,
    StorageError,
    StorageFull,
)
from mirror.ports.clock import Clock
from mirror.ports.hosting import Facts
from mirror.ports.metadata import (
    BlobRecord,
    IdleManifest,
    MetadataError,
    Totals,
    Use,
)
from mirror.ports.repository import Repository
from mirror.storage.memory import MemoryBlobStore, OpenBytes

Hook = Callable[[], Awaitable[None]]


async def _nothing() -> None:
    """What happens by default."""


class TroubledFacts(CachedMetadata):
    """``failing`` names methods that raise; hooks run before what they are named after."""

    def __init__(self, facts: Facts | None = None) -> None:
        super().__init__(facts or MemoryMetadata())
        self.failing: set[str] = set()
        self.before_evict: Hook = _nothing
        self.before_deleting_blobs: Hook = _nothing
        self.before_put_blob: Hook = _nothing
        self.after_get_manifest: Hook = _nothing
        self.before_linked_size: Hook = _nothing
        self.during_writes: Hook = _nothing
        self.during_totals: Hook = _nothing
        self.evictions: list[tuple[int, int]] = []
        """How many manifests and blobs each transaction was asked to remove."""
        self.writes: list[Mapping[Use, datetime] | Mapping[str, int]] = []
        self.counted = 0

    async def evict(
        self,
        manifests: Sequence[IdleManifest],
        blobs: Sequence[Digest],
        unless_used_after: datetime,
    ) -> Sequence[BlobRecord]:
        self._check("evict")
        await self.before_evict()
        if blobs:
            await self.before_deleting_blobs()
        self.evictions.append((len(manifests), len(blobs)))
        return await super().evict(manifests, blobs, unless_used_after)

    async def get_manifest(self, repository: Repository, digest: Digest) -> Descriptor | None:
        found = await super().get_manifest(repository, digest)
        await self.after_get_manifest()
        return found

    async def put_manifest(
        self,
        repository: Repository,
        descriptor: Descriptor,
        references: References | None,
        stored_at: datetime,
    ) -> None:
        self._check("put_manifest")
        await super().put_manifest(repository, descriptor, references, stored_at)

    async def put_blob(self, repository: Repository, blob: BlobRecord, stored_at: datetime) -> None:
        self._check("put_blob")
        await self.before_put_blob()
        await super().put_blob(repository, blob, stored_at)

    async def linked_size(self, repository: Repository, digest: Digest) -> int | None:
        await self.before_linked_size()
        return await super().linked_size(repository, digest)

    async def record_uses(self, uses: Mapping[Use, datetime]) -> None:
        self._check("record_uses")
        await self.during_writes()
        self.writes.append(dict(uses))
        await super().record_uses(uses)

    async def add_counters(self, increments: Mapping[str, int]) -> None:
        self._check("add_counters")
        await self.during_writes()
        self.writes.append(dict(increments))
        await super().add_counters(increments)

    async def totals(self) -> Totals:
        self._check("totals")
        self.counted += 1
        found = await super().totals()
        await self.during_totals()
        return found

    async def forget_blob(self, digest: Digest) -> bool:
        self._check("forget_blob")
        return await super().forget_blob(digest)

    def _check(self, method: str) -> None:
        if method in self.failing:
            raise MetadataError(f"{method} cannot be done")


class TroubledStore(MemoryBlobStore):
    """``free``, where given, is what it says is free until told otherwise."""

    def __init__(self, clock: Clock, free: int | None = None) -> None:
        super().__init__(clock, 1 << 50)
        self.free = free
        self.failing: set[str] = set()
        self.busy: set[str] = set()
        self.undeletable: set[Digest] = set()
        self.before_delete: Hook = _nothing
        self.after_delete: Hook = _nothing
        self.before_quarantine: Hook = _nothing
        self.quarantined: list[Digest] = []

    def space(self) -> Space:
        self._check("space")
        return super().space() if self.free is None else Space(self.free, 1 << 50)

    def open(self, digest: Digest) -> OpenBytes | None:
        self._check("open")
        return super().open(digest)

    async def read(self, digest: Digest, limit: int) -> bytes | None:
        """Verified, as the port has it: here bytes may rot."""
        self._check("read")
        content = await super().read(digest, limit)
        if content is not None and not digest.matches(content):
            raise DigestMismatch(digest, digest_of(content))
        return content

    async def put(self, digest: Digest, content: bytes) -> None:
        if "put" in self.failing:
            raise StorageFull("put finds no room")
        await super().put(digest, content)

    async def delete(self, digest: Digest) -> bool:
        await self.before_delete()
        removed = await super().delete(digest)
        await self.after_delete()
        return removed

    async def delete_all(self, digests: Sequence[Digest]) -> Sequence[Digest]:
        await self.before_delete()
        await super().delete_all([one for one in digests if one not in self.undeletable])
        return [one for one in digests if one in self.undeletable]

    async def quarantine(self, digest: Digest, reason: str) -> bool:
        self._check("quarantine")
        await self.before_quarantine()
        self.quarantined.append(digest)
        return await super().quarantine(digest, reason)

    async def list_blobs(self, shard: int) -> Sequence[tuple[Digest, int, datetime]]:
        self._check("list_blobs")
        return await super().list_blobs(shard)

    def _check(self, method: str) -> None:
        if method in self.busy:
            raise StorageBusy(f"{method} must wait")
        if method in self.failing:
            raise StorageError(f"{method} cannot be done")
