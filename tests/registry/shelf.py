"""Content put straight on a store, as pulls would have left it, and what evicts it again."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from mirror.metadata.cached import CachedMetadata
from mirror.metadata.memory import MemoryMetadata
from mirror.metadata.sql import open_sqlite
from mirror.oci.digest import Digest, digest_of
from mirror.oci.manifest import Descriptor, References
from mirror.oci.media_type import OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST
from mirror.oci.reference import RepositoryName, Tag
from mirror.ports.blobs import BlobStore
from mirror.ports.metadata import BlobRecord, MetadataStore, TagRecord, Use
from mirror.ports.repository import Repository
from mirror.registry.custody import Custody
from mirror.registry.eviction import Eviction, EvictionPorts, EvictionReport, Portions, Protection
from mirror.registry.housekeeping import Housekeeping, HousekeepingPorts, Pace
from mirror.registry.in_use import InUse
from mirror.registry.protection import in_use, unreachable_upstreams, used_just_now
from mirror.registry.room import Limits
from mirror.registry.statistics import Statistics
from mirror.registry.usage import Usage
from mirror.storage.filesystem import FilesystemBlobStore
from mirror.storage.memory import MemoryBlobStore
from tests.world import SettableClock

HUB = "docker.io"
GHCR = "ghcr.io"
NGINX = Repository(HUB, RepositoryName("library/nginx"))
REDIS = Repository(HUB, RepositoryName("library/redis"))
APP = Repository(GHCR, RepositoryName("team/app"))
HOSTED = Repository(None, RepositoryName("ours"))

ROOMY = Limits(max_size=1 << 40, low_size=1 << 39, min_free=0)
EVERYTHING = 1 << 40
SECOND = timedelta(seconds=1)

MANIFEST_SIZE = 10


def content(name: str, size: int) -> bytes:
    return (name.encode() + b"." * size)[:size]


def digest(name: str, size: int = MANIFEST_SIZE) -> Digest:
    return digest_of(content(name, size))


@dataclass(slots=True)
class Shelf:
    """Stores and the use cases that look after them. Each call takes one second."""

    clock: SettableClock
    store: BlobStore
    facts: MetadataStore
    limits: Limits = ROOMY
    frozen: set[str] = field(default_factory=set)
    filling: set[Digest] = field(default_factory=set)
    more_protections: Sequence[Protection] = ()
    portions: Portions | None = None
    pace: Pace | None = None
    usage: Usage = field(init=False)
    using: InUse = field(default_factory=InUse)
    custody: Custody = field(default_factory=Custody)
    statistics: Statistics = field(default_factory=Statistics)
    housekeeping: Housekeeping = field(init=False)

    def __post_init__(self) -> None:
        self.usage = Usage(self.clock)
        self.housekeeping = Housekeeping(
            HousekeepingPorts(
                self.store,
                self.facts,
                self.custody,
                self.clock,
                self.statistics,
                self.usage,
                self.limits,
            ),
            self.pace,
        )
        self.housekeeping.evict_with(self.eviction())

    def eviction(self) -> Eviction:
        return Eviction(
            EvictionPorts(
                facts=self.facts,
                store=self.store,
                custody=self.custody,
                clock=self.clock,
                statistics=self.statistics,
                protections=(
                    unreachable_upstreams(lambda: frozenset(self.frozen)),
                    in_use(lambda digest: digest in self.using or digest in self.filling),
                    used_just_now(self.usage),
                    *self.more_protections,
                ),
                flush=self.housekeeping.flush,
                removed=self.housekeeping.removed,
            ),
            self.portions,
        )

    async def evict(self, needed: int = EVERYTHING, *, dry_run: bool = False) -> EvictionReport:
        self.clock.advance(SECOND)
        return await self.eviction().run(needed, "the test", dry_run=dry_run)

    async def put_blob(
        self, repository: Repository, name: str, size: int, *, recorded: bool = True
    ) -> Digest:
        self.clock.advance(SECOND)
        await self.store.put(digest(name, size), content(name, size))
        if recorded:
            record = BlobRecord(digest(name, size), size)
            await self.facts.put_blob(repository, record, self.clock.now())
        return digest(name, size)

    async def put_image(
        self,
        repository: Repository,
        name: str,
        layers: Mapping[str, int],
        tag: str | None = None,
    ) -> Digest:
        """A manifest of ``MANIFEST_SIZE`` bytes and its layers by name and size."""
        blobs = tuple(
            Descriptor(OCI_LAYER_GZIP, digest(layer, size), size) for layer, size in layers.items()
        )
        top = await self._put_manifest(repository, name, OCI_MANIFEST, References((), blobs, None))
        for layer, size in layers.items():
            await self.put_blob(repository, layer, size)
        await self._put_tag(repository, top, tag)
        return top.digest

    async def put_index(
        self, repository: Repository, name: str, children: Sequence[Digest], tag: str | None = None
    ) -> Digest:
        below = tuple(Descriptor(OCI_MANIFEST, child, MANIFEST_SIZE) for child in children)
        top = await self._put_manifest(repository, name, OCI_INDEX, References(below, (), None))
        await self._put_tag(repository, top, tag)
        return top.digest

    async def use(self, repository: Repository | None, used: Digest) -> None:
        """As a pull some time ago: it is written."""
        self.touch(repository, used)
        await self.housekeeping.flush()

    def touch(self, repository: Repository | None, used: Digest) -> None:
        """As a pull just now: it is not written yet."""
        self.clock.advance(SECOND)
        self.usage.touch(Use(repository, used))

    async def has(self, repository: Repository, manifest: Digest) -> bool:
        return await self.facts.get_manifest(repository, manifest) is not None

    async def holds(self, blob: Digest) -> bool:
        """Whether the blob is stored, of which file and row must say the same."""
        recorded = await self.facts.get_stored(blob) is not None
        assert recorded == self.has_file(blob)
        return recorded

    def has_file(self, blob: Digest) -> bool:
        opened = self.store.open(blob)
        if opened is not None:
            opened.close()
        return opened is not None

    async def stored(self) -> Mapping[Digest, int]:
        """Every file, with its size."""
        shards = [await self.store.list_blobs(shard) for shard in range(256)]
        return {digest: size for shard in shards for digest, size, _ in shard}

    async def _put_manifest(
        self, repository: Repository, name: str, media_type: str, references: References
    ) -> Descriptor:
        self.clock.advance(SECOND)
        descriptor = Descriptor(media_type, digest(name), MANIFEST_SIZE)
        await self.store.put(descriptor.digest, content(name, MANIFEST_SIZE))
        await self.facts.put_manifest(repository, descriptor, references, self.clock.now())
        return descriptor

    async def _put_tag(self, repository: Repository, top: Descriptor, tag: str | None) -> None:
        if tag is not None:
            await self.facts.put_tag(repository, Tag(tag), TagRecord(top, self.clock.now()))


def memory_shelf(limits: Limits = ROOMY) -> Shelf:
    clock = SettableClock()
    facts = CachedMetadata(MemoryMetadata())
    return Shelf(clock, MemoryBlobStore(clock, 1 << 50), facts, limits)


@asynccontextmanager
async def disk_shelf(folder: Path, limits: Limits = ROOMY) -> AsyncIterator[Shelf]:
    clock = SettableClock()
    FilesystemBlobStore.prepare(folder)
    facts = CachedMetadata(await open_sqlite(folder / "metadata.db"))
    try:
        yield Shelf(clock, FilesystemBlobStore(folder, clock), facts, limits)
    finally:
        await facts.close()
