"""Random histories: the SQL store and the cache over it against the store in memory.

While the cached store writes, it is read as well: what it then remembers must still be true.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mirror.metadata.cached import CachedMetadata
from mirror.metadata.memory import MemoryMetadata
from mirror.metadata.sql import open_sqlite
from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor, References
from mirror.oci.reference import Tag
from mirror.ports.metadata import (
    BlobRecord,
    IdleManifest,
    MetadataStore,
    TagRecord,
    Use,
)
from mirror.ports.repository import Repository
from tests.conformance.metadata import (
    AMD64,
    ATTESTATION,
    HOSTED,
    LATEST,
    NGINX,
    NGINX_ELSEWHERE,
    STABLE,
    at,
    child,
    digest,
    idle_blobs,
    idle_manifests,
    images,
)

T = TypeVar("T")

REPOSITORIES = (NGINX, NGINX_ELSEWHERE, HOSTED)
TAGS = (LATEST, STABLE)
LAYERS = ("a", "b", "c")
MANIFESTS = ("m0", "m1", "m2", "m3")
SIZES = {name: 10**place for place, name in enumerate((*LAYERS, *MANIFESTS))}
DIGESTS = tuple(digest(name) for name in SIZES)

repositories = st.sampled_from(REPOSITORIES)
tags = st.sampled_from(TAGS)
digests = st.sampled_from(DIGESTS)
times = st.integers(0, 6).map(at)
blobs = st.sampled_from(tuple(SIZES)).map(lambda name: BlobRecord(digest(name), SIZES[name]))


def described(name: str, media_type: str = "some/type") -> Descriptor:
    return Descriptor(media_type, digest(name), SIZES[name])


@st.composite
def manifests(draw: st.DrawFn) -> tuple[Descriptor, References | None]:
    """A manifest refers only to those before it, as digests see to in the world."""
    place = draw(st.integers(0, len(MANIFESTS) - 1))
    top = described(MANIFESTS[place], draw(st.sampled_from(("some/type", "other/type"))))
    if draw(st.integers(0, 5)) == 0:
        return top, None
    platforms = st.sampled_from((AMD64, ATTESTATION, None))
    children = draw(st.sets(st.sampled_from(MANIFESTS[:place]))) if place else set()
    layers = draw(st.lists(st.sampled_from(LAYERS), max_size=3))
    references = References(
        tuple(child(described(name), draw(platforms)) for name in sorted(children)),
        tuple(described(name) for name in layers),
        draw(st.none() | st.just(described("m0"))),
    )
    return top, references


async def snapshot(store: MetadataStore) -> tuple[object, ...]:
    """All that can be listed, in an order that does not depend on the adapter."""
    idle = await idle_manifests(store, 3)
    assert [entry.last_used_at for entry in idle] == sorted(entry.last_used_at for entry in idle)
    unneeded = await idle_blobs(store, 2)
    moments = [entry.last_used_at for entry in unneeded]
    assert moments == sorted(moments), "of the same moment, in whatever order"
    return (
        sorted(idle, key=lambda entry: (str(entry.repository), str(entry.descriptor.digest))),
        sorted(unneeded, key=lambda entry: str(entry.blob.digest)),
        await images(store, None, 3),
        await store.totals(),
        await store.load_counters(),
    )


class Histories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="histories-"))
        self.runner = asyncio.Runner()
        self.memory = MemoryMetadata()
        self.runner.run(self.open())

    async def open(self) -> None:
        self.sql = await open_sqlite(self.folder / "sql.db")
        self.cached = CachedMetadata(await open_sqlite(self.folder / "cached.db"))

    async def close(self) -> None:
        await self.sql.close()
        await self.cached.close()

    def teardown(self) -> None:
        try:
            self.compare_all()
        finally:
            self.runner.run(self.close())
            self.runner.close()
            shutil.rmtree(self.folder)

    def everywhere(
        self, ask: Callable[[MetadataStore], Awaitable[T]], watched: Repository = NGINX
    ) -> T:
        async def run() -> T:
            expected = await ask(self.memory)
            assert await ask(self.sql) == expected
            found, *_ = await asyncio.gather(ask(self.cached), self.read(watched))
            assert found == expected
            return expected

        return self.runner.run(run())

    async def read(self, repository: Repository) -> None:
        await asyncio.gather(
            *(self.cached.get_tag(repository, tag) for tag in TAGS),
            *(self.cached.get_blob(repository, digest(name)) for name in LAYERS),
            *(self.cached.linked_size(repository, digest(name)) for name in LAYERS),
            *(self.cached.get_manifest(repository, digest(name)) for name in MANIFESTS),
        )

    @rule(repository=repositories, tag=tags, name=st.sampled_from(MANIFESTS), time=times)
    def put_tag(self, repository: Repository, tag: Tag, name: str, time: datetime) -> None:
        record = TagRecord(described(name), time)
        self.everywhere(lambda store: store.put_tag(repository, tag, record), repository)

    @rule(repository=repositories, tag=tags)
    def delete_tag(self, repository: Repository, tag: Tag) -> None:
        self.everywhere(lambda store: store.delete_tag(repository, tag), repository)

    @rule(repository=repositories, manifest=manifests(), time=times)
    def put_manifest(
        self,
        repository: Repository,
        manifest: tuple[Descriptor, References | None],
        time: datetime,
    ) -> None:
        self.everywhere(lambda store: store.put_manifest(repository, *manifest, time), repository)

    @rule(repository=repositories, name=st.sampled_from(MANIFESTS))
    def delete_manifest(self, repository: Repository, name: str) -> None:
        self.everywhere(lambda store: store.delete_manifest(repository, digest(name)), repository)

    @rule(repository=repositories, blob=blobs, time=times)
    def put_blob(self, repository: Repository, blob: BlobRecord, time: datetime) -> None:
        self.everywhere(lambda store: store.put_blob(repository, blob, time), repository)

    @rule(repository=repositories, linked=digests)
    def link_blob(self, repository: Repository, linked: Digest) -> None:
        self.everywhere(lambda store: store.link_blob(repository, linked), repository)

    @rule(forgotten=digests, watched=repositories)
    def forget_blob(self, forgotten: Digest, watched: Repository) -> None:
        self.everywhere(lambda store: store.forget_blob(forgotten), watched)

    @rule(
        uses=st.dictionaries(st.builds(Use, st.none() | repositories, digests), times, max_size=4)
    )
    def record_uses(self, uses: dict[Use, datetime]) -> None:
        self.everywhere(lambda store: store.record_uses(uses))

    @rule(increments=st.dictionaries(st.sampled_from(("hits", "misses")), st.integers(0, 9)))
    def add_counters(self, increments: dict[str, int]) -> None:
        self.everywhere(lambda store: store.add_counters(increments))

    @rule(data=st.data(), named=st.lists(digests), unless=times, watched=repositories)
    def evict(
        self, data: st.DataObject, named: list[Digest], unless: datetime, watched: Repository
    ) -> None:
        idle = self.runner.run(idle_manifests(self.memory))
        chosen = data.draw(st.lists(st.sampled_from(idle), unique_by=id)) if idle else []
        self.everywhere(lambda store: evicted(store, chosen, named, unless), watched)

    @rule()
    def restart(self) -> None:
        self.runner.run(self.close())
        self.runner.run(self.open())

    @rule()
    def compare_all(self) -> None:
        self.everywhere(snapshot)

    @rule(repository=repositories)
    def compare_answers(self, repository: Repository) -> None:
        self.everywhere(lambda store: answers(store, repository))

    @invariant()
    def what_is_remembered_is_true(self) -> None:
        self.runner.run(self.check_memory())

    async def check_memory(self) -> None:
        for repository in REPOSITORIES:
            for tag in TAGS:
                record = self.cached.peek_tag(repository, tag)
                assert record in (None, await self.memory.get_tag(repository, tag))
            for known in DIGESTS:
                descriptor = self.cached.peek_manifest(repository, known)
                assert descriptor in (None, await self.memory.get_manifest(repository, known))
                blob = self.cached.peek_blob(repository, known)
                assert blob in (None, await self.memory.get_blob(repository, known))


async def evicted(
    store: MetadataStore, idle: Sequence[IdleManifest], named: Sequence[Digest], unless: datetime
) -> set[BlobRecord]:
    gone = await store.evict(idle, named, unless)
    assert len(set(gone)) == len(gone)
    return set(gone)


async def answers(store: MetadataStore, repository: Repository) -> list[object]:
    return [
        *[await store.get_tag(repository, tag) for tag in TAGS],
        *[await store.get_manifest(repository, asked) for asked in DIGESTS],
        *[await store.get_blob(repository, asked) for asked in DIGESTS],
        *[await store.get_stored(asked) for asked in DIGESTS],
        *[await store.linked_size(repository, asked) for asked in DIGESTS],
    ]


Histories.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestHistories = Histories.TestCase
