"""Blobs that a repository has here: from the store, when it is linked, and from nowhere else."""

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from cachetools import LRUCache

from mirror.oci.digest import Digest
from mirror.ports.blobs import BlobStore, OpenBlob, StorageError
from mirror.ports.clock import Clock
from mirror.ports.hosting import PushStore
from mirror.ports.metadata import BlobLinks, BlobRecord, MetadataError, Use
from mirror.ports.repository import Repository
from mirror.registry.answer import BlobAnswer, Handling
from mirror.registry.custody import Custody
from mirror.registry.statistics import Result, Statistics
from mirror.registry.usage import Usage

log = logging.getLogger(__name__)

MOST_RENEWED = 50_000


class HostedLinks(BlobLinks, PushStore, Protocol):
    """What is asked and renewed here."""


@dataclass(frozen=True, slots=True)
class HostedBlobPorts:
    """What the use case works with. A link is renewed again after ``renew_every``, which is a
    fraction of the time for which a renewed one is sure to stay.
    """

    store: BlobStore
    links: HostedLinks
    custody: Custody
    clock: Clock
    usage: Usage
    statistics: Statistics
    renew_every: timedelta


class HostedBlobs:
    """Get and head."""

    def __init__(self, ports: HostedBlobPorts) -> None:
        self._ports = ports
        self._renewed: LRUCache[tuple[Repository, Digest], float] = LRUCache(MOST_RENEWED)

    async def get(self, repository: Repository, digest: Digest) -> BlobAnswer | None:
        """The blob, opened for reading; ``None`` when the repository does not have it."""
        record = await self._ports.links.get_blob(repository, digest)
        opened = None if record is None else await self._open(record)
        if opened is None:
            return None
        self._ports.usage.touch(Use(None, digest))
        return BlobAnswer(repository, digest, opened.size, opened, _handling(repository))

    async def head(self, repository: Repository, digest: Digest) -> BlobAnswer | None:
        """The size of the blob. Whoever hears it may push a manifest that needs the blob, so the
        link is renewed; ``None`` when the repository does not have it.
        """
        found = await self.size(repository, digest)
        if found is None or not await self._renew(repository, digest):
            return None
        return found

    async def size(self, repository: Repository, digest: Digest) -> BlobAnswer | None:
        """As ``get``, without the blob."""
        found = await self.get(repository, digest)
        if found is None:
            return None
        if found.blob is not None:
            found.blob.close()
        return BlobAnswer(repository, digest, found.size, None, found.handling)

    async def _renew(self, repository: Repository, digest: Digest) -> bool:
        """Whether it is linked and will stay so for a while."""
        now = self._ports.clock.monotonic()
        key = (repository, digest)
        renewed_at = self._renewed.get(key)
        if renewed_at is not None and now - renewed_at < self._ports.renew_every.total_seconds():
            return True
        if await self._ports.links.renew_link(repository, digest, self._ports.clock.now()) is None:
            return False
        self._renewed[key] = now
        return True

    async def _open(self, record: BlobRecord) -> OpenBlob | None:
        """The file, if it is what was recorded. Raises StorageError when it cannot be opened."""
        opened = self._ports.store.open(record.digest)
        if opened is not None and opened.size == record.size:
            return opened
        if opened is not None:
            opened.close()
        with self._ports.custody.leaving([record.digest]) as free:
            if free:
                await self._look_again(record.digest)
        return None

    async def _look_again(self, digest: Digest) -> None:
        """Nobody stores or deletes it now: what is wrong is damage."""
        record = await self._ports.links.get_stored(digest)
        if record is None:
            return
        opened = self._ports.store.open(digest)
        size = None
        if opened is not None:
            size = opened.size
            opened.close()
        if size != record.size:
            found = "no file" if size is None else f"{size} bytes"
            log.error("%s is damaged: %s on disk, %d recorded", digest, found, record.size)
            await self._set_aside(digest, f"{found}, {record.size} recorded")

    async def _set_aside(self, digest: Digest, reason: str) -> None:
        """The row first: who is told that the blob is not here pushes it again."""
        try:
            await self._ports.links.forget_blob(digest)
            if await self._ports.store.quarantine(digest, reason):
                self._ports.statistics.counted("quarantined")
        except (MetadataError, StorageError) as error:
            log.warning("%s could not be set aside: %s", digest, error)


def _handling(repository: Repository) -> Handling:
    return Handling(Result.HIT if repository.upstream is not None else Result.HOSTED)
