"""Content pushed straight into the facts, as pushes would have left it, and what collects it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from mirror.metadata.cached import CachedMetadata
from mirror.metadata.sql import open_sqlite
from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor, References
from mirror.oci.media_type import OCI_LAYER_GZIP, OCI_MANIFEST
from mirror.oci.reference import RepositoryName, Tag
from mirror.ports.blobs import BlobStore
from mirror.ports.hosting import DeadBlob, Facts, LinkCursor, Push, PushOutcome
from mirror.ports.metadata import BlobRecord, Use
from mirror.ports.repository import Repository
from mirror.registry.collection import Amounts, Collection, CollectionPorts, CollectionReport
from mirror.registry.collector import Collector, Schedule
from mirror.storage.filesystem import FilesystemBlobStore
from tests.registry.shelf import MANIFEST_SIZE, SECOND, Shelf, content, digest
from tests.registry.troubled_stores import Hook, TroubledFacts, TroubledStore
from tests.world import SettableClock

OURS = Repository(None, RepositoryName("ours"))
THEIRS = Repository(None, RepositoryName("team/of/theirs"))

GRACE = timedelta(hours=48)
AMOUNTS = Amounts(page=2, named=3)
"""Small enough for a few blobs to be a great many."""


class TroubledHosting(TroubledFacts):
    """Hooks run before what they are named after. ``pages`` are the lengths of those listed."""

    def __init__(self) -> None:
        super().__init__()
        self.before_collect: Hook = _nothing
        self.pages: list[int] = []

    async def list_dead_blobs(
        self, unless_after: datetime, after: Digest | None, limit: int
    ) -> Sequence[DeadBlob]:
        self._check("list_dead_blobs")
        page = await super().list_dead_blobs(unless_after, after, limit)
        self.pages.append(len(page))
        return page

    async def collect_blobs(
        self, digests: Sequence[Digest], unless_after: datetime
    ) -> Sequence[BlobRecord]:
        self._check("collect_blobs")
        await self.before_collect()
        return await super().collect_blobs(digests, unless_after)

    async def collect_links(
        self, unless_after: datetime, after: LinkCursor | None, limit: int
    ) -> tuple[int, LinkCursor | None]:
        self._check("collect_links")
        return await super().collect_links(unless_after, after, limit)


async def _nothing() -> None:
    """What happens by default."""


@dataclass(slots=True)
class Depot:
    """Stores, and the collection that looks after them. Each call takes one second."""

    shelf: Shelf
    facts: Facts
    amounts: Amounts = AMOUNTS

    @property
    def clock(self) -> SettableClock:
        return self.shelf.clock

    @property
    def store(self) -> BlobStore:
        return self.shelf.store

    def collection(self) -> Collection:
        return Collection(
            CollectionPorts(
                facts=self.facts,
                store=self.shelf.store,
                custody=self.shelf.custody,
                clock=self.clock,
                statistics=self.shelf.statistics,
                flush=self.shelf.housekeeping.flush,
                is_used=lambda blob: Use(None, blob) in self.shelf.usage,
                freed=self.shelf.housekeeping.collected,
            ),
            GRACE,
            self.amounts,
        )

    def collector(self, every: timedelta | None = None) -> Collector:
        """One whose schedule begins at once."""
        schedule = Schedule(every, timedelta())
        return Collector(self.collection(), schedule, self.clock, self.shelf.statistics)

    async def collect(self, *, dry_run: bool = False) -> CollectionReport:
        return await self.collection().run(dry_run=dry_run)

    def age(self) -> None:
        """Past the grace period of all that was done so far."""
        self.clock.advance(GRACE)

    async def push_blob(self, repository: Repository, name: str, size: int = 100) -> Digest:
        return await self.shelf.put_blob(repository, name, size)

    async def push_image(
        self, repository: Repository, name: str, layers: Mapping[str, int], tag: str | None = None
    ) -> Digest:
        for layer, size in layers.items():
            await self.push_blob(repository, layer, size)
        outcome = await self.push_manifest(repository, name, layers, tag)
        assert outcome.is_recorded
        return digest(name)

    async def push_manifest(
        self, repository: Repository, name: str, layers: Mapping[str, int], tag: str | None = None
    ) -> PushOutcome:
        """Its own bytes are stored, and those of its layers had better be."""
        self.clock.advance(SECOND)
        await self.store.put(digest(name), content(name, MANIFEST_SIZE))
        blobs = tuple(
            Descriptor(OCI_LAYER_GZIP, digest(layer, size), size) for layer, size in layers.items()
        )
        push = Push(
            repository=repository,
            descriptor=Descriptor(OCI_MANIFEST, digest(name), MANIFEST_SIZE),
            references=References((), blobs, None),
            tags=() if tag is None else (Tag(tag),),
            immutable=frozenset(),
            lender=None,
            pushed_at=self.clock.now(),
        )
        return await self.facts.push_manifest(push)

    async def delete_image(self, repository: Repository, name: str) -> None:
        removal = await self.facts.remove_manifest(repository, digest(name))
        assert removal.found
        assert not removal.needed_by

    async def stored(self) -> set[Digest]:
        """Of which files and rows must say the same."""
        stored = set(await self.shelf.stored())
        for blob in stored:
            assert await self.shelf.holds(blob)
        return stored


def digests(names: Sequence[str], size: int = 100) -> set[Digest]:
    return {digest(name, size) for name in names}


def record(name: str, size: int = 100) -> BlobRecord:
    return BlobRecord(digest(name, size), size)


def memory_depot() -> Depot:
    clock, facts = SettableClock(), TroubledHosting()
    return Depot(Shelf(clock, TroubledStore(clock), facts), facts)


@asynccontextmanager
async def disk_depot(folder: Path) -> AsyncIterator[Depot]:
    clock = SettableClock()
    FilesystemBlobStore.prepare(folder)
    facts = CachedMetadata(await open_sqlite(folder / "metadata.db"))
    try:
        yield Depot(Shelf(clock, FilesystemBlobStore(folder, clock), facts), facts)
    finally:
        await facts.close()
