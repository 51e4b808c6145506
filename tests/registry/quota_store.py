"""A store that says it has room and stops taking bytes in the middle, as under a quota."""

from collections.abc import Sequence
from datetime import datetime

from mirror.oci.digest import Digest
from mirror.ports.blobs import Ingest, OpenBlob, Space
from mirror.ports.clock import Clock
from mirror.storage.memory import MemoryBlobStore

PLENTY = Space(1 << 50, 1 << 50)


class QuotaStore:
    """A ``BlobStore`` round one in memory of ``quota`` bytes, of which it does not tell."""

    def __init__(self, clock: Clock, quota: int) -> None:
        self._store = MemoryBlobStore(clock, quota)

    def open(self, digest: Digest) -> OpenBlob | None:
        return self._store.open(digest)

    async def read(self, digest: Digest, limit: int) -> bytes | None:
        return await self._store.read(digest, limit)

    async def ingest(self, ingest_id: str) -> Ingest:
        return await self._store.ingest(ingest_id)

    async def resume(self, ingest_id: str, unless_before: datetime) -> Ingest | None:
        return await self._store.resume(ingest_id, unless_before)

    async def put(self, digest: Digest, content: bytes) -> None:
        await self._store.put(digest, content)

    async def delete(self, digest: Digest) -> bool:
        return await self._store.delete(digest)

    async def delete_all(self, digests: Sequence[Digest]) -> Sequence[Digest]:
        return await self._store.delete_all(digests)

    async def quarantine(self, digest: Digest, reason: str) -> bool:
        return await self._store.quarantine(digest, reason)

    async def list_blobs(self, shard: int) -> Sequence[tuple[Digest, int, datetime]]:
        return await self._store.list_blobs(shard)

    async def sweep_ingests(self, older_than: datetime, prefix: str = "") -> int:
        return await self._store.sweep_ingests(older_than, prefix)

    def space(self) -> Space:
        return PLENTY
