"""Random histories of pushes, pulls, removals, collections and evictions: the SQL store and the
cache over it against the store in memory, and nothing hosted ever dangling.

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
from mirror.ports.hosting import Facts, Push
from mirror.ports.metadata import BlobRecord, IdleManifest, Use
from mirror.ports.repository import Repository
from tests.conformance.metadata import (
    LATEST,
    NGINX,
    REDIS,
    STABLE,
    at,
    digest,
    idle_blobs,
    idle_manifests,
)
from tests.conformance.pushing import APP, COPY, collect_links

T = TypeVar("T")

HOSTED = (APP, COPY)
PROXIED = (NGINX, REDIS)
REPOSITORIES = HOSTED + PROXIED
TAGS = (LATEST, STABLE)
LAYERS = ("a", "b", "c")
IMAGES = {"m0": "ab", "m1": "bc", "m2": "", "m3": "a"}
INDEXES = {"i0": ("m0", "m1"), "i1": ("m1", "i0")}
ABOUT = {"m2": "m0", "m3": "i1", "i1": "m0"}
SUBJECTS = ("m0", "i1")
MANIFESTS = (*IMAGES, *INDEXES)
SIZES = {name: 10**place for place, name in enumerate((*LAYERS, *MANIFESTS))}
DIGESTS = {digest(name): name for name in SIZES}

repositories = st.sampled_from(REPOSITORIES)
hosted = st.sampled_from(HOSTED)
proxied = st.sampled_from(PROXIED)
layers = st.sampled_from(LAYERS)
manifests = st.sampled_from(MANIFESTS)
digests = st.sampled_from(tuple(DIGESTS))
tag_sets = st.sets(st.sampled_from(TAGS)).map(lambda tags: tuple(sorted(tags, key=str)))
times = st.integers(0, 6).map(at)


def described(name: str, media_type: str = "some/type") -> Descriptor:
    return Descriptor(media_type, digest(name), SIZES[name])


def references_of(name: str) -> References:
    """The same whenever it is pushed, as digests see to in the world."""
    return References(
        tuple(described(child) for child in INDEXES.get(name, ())),
        tuple(described(layer) for layer in IMAGES.get(name, ())),
        described(ABOUT[name]) if name in ABOUT else None,
    )


@st.composite
def pushes(draw: st.DrawFn) -> Push:
    name, tags = draw(manifests), draw(tag_sets)
    return Push(
        draw(hosted),
        described(name, draw(st.sampled_from(("some/type", "other/type")))),
        references_of(name),
        tags,
        frozenset(draw(tag_sets)) if draw(st.booleans()) else frozenset(),
        draw(st.none() | repositories),
        draw(times),
    )


async def snapshot(store: Facts) -> tuple[object, ...]:
    """All that can be listed, in an order that does not depend on the adapter."""
    idle = await idle_manifests(store, 3)
    unneeded = await idle_blobs(store, 2)
    return (
        sorted(idle, key=lambda entry: (str(entry.repository), str(entry.descriptor.digest))),
        sorted(unneeded, key=lambda entry: str(entry.blob.digest)),
        await store.totals(),
        await store.list_repositories(None, 10),
        await store.list_repositories("docker", 2, hosted_only=True),
        [await store.list_dead_blobs(at(time), None, 100) for time in (0, 3, 6)],
        [await store.list_owners(known, 3) for known in DIGESTS],
        *[await answers(store, repository) for repository in REPOSITORIES],
    )


async def answers(store: Facts, repository: Repository) -> list[object]:
    return [
        await store.list_tags(repository, None, 10),
        *[await store.get_tag(repository, tag) for tag in TAGS],
        *[await store.get_manifest(repository, digest(name)) for name in MANIFESTS],
        *[await store.get_blob(repository, known) for known in DIGESTS],
        *[await store.linked_size(repository, digest(name)) for name in LAYERS],
        *[await store.list_referrers(repository, digest(name), None, 9) for name in SUBJECTS],
    ]


class HostingHistories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="hosting-histories-"))
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

    def everywhere(self, ask: Callable[[Facts], Awaitable[T]], watched: Repository = APP) -> T:
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
            *(self.cached.get_blob(repository, known) for known in DIGESTS),
            *(self.cached.linked_size(repository, digest(name)) for name in LAYERS),
            *(self.cached.get_manifest(repository, digest(name)) for name in MANIFESTS),
        )

    @rule(repository=repositories, name=layers, time=times)
    def put_blob(self, repository: Repository, name: str, time: datetime) -> None:
        blob = BlobRecord(digest(name), SIZES[name])
        self.everywhere(lambda store: store.put_blob(repository, blob, time), repository)

    @rule(push=pushes())
    def push(self, push: Push) -> None:
        self.everywhere(lambda store: store.push_manifest(push), push.repository)

    @rule(repository=hosted, name=manifests, time=times)
    def push_all_of_it(self, repository: Repository, name: str, time: datetime) -> None:
        """What random steps seldom come to: an index with everything below it."""
        for child in INDEXES.get(name, ()):
            self.push_all_of_it(repository, child, time)
        for layer in IMAGES.get(name, ""):
            self.put_blob(repository, layer, time)
        push = Push(repository, described(name), references_of(name), (), frozenset(), None, time)
        assert self.runner.run(self.memory.push_manifest(push)).is_recorded
        self.push(push)

    @rule(repository=hosted, name=manifests)
    def remove(self, repository: Repository, name: str) -> None:
        self.everywhere(lambda store: store.remove_manifest(repository, digest(name)), repository)

    @rule(repository=hosted, tag=st.sampled_from(TAGS))
    def delete_tag(self, repository: Repository, tag: Tag) -> None:
        self.everywhere(lambda store: store.delete_tag(repository, tag), repository)

    @rule(repository=hosted, known=digests, time=times)
    def mount(self, repository: Repository, known: Digest, time: datetime) -> None:
        self.everywhere(lambda store: store.mount_blob(repository, known, time), repository)

    @rule(repository=hosted, known=digests, time=times)
    def renew(self, repository: Repository, known: Digest, time: datetime) -> None:
        self.everywhere(lambda store: store.renew_link(repository, known, time), repository)

    @rule(repository=hosted, known=digests)
    def unlink(self, repository: Repository, known: Digest) -> None:
        self.everywhere(lambda store: store.unlink_blob(repository, known), repository)

    @rule(named=st.lists(digests), unless=times, watched=hosted)
    def collect_blobs(self, named: list[Digest], unless: datetime, watched: Repository) -> None:
        self.everywhere(lambda store: collected(store, named, unless), watched)

    @rule(unless=times, watched=hosted)
    def collect_all(self, unless: datetime, watched: Repository) -> None:
        self.everywhere(lambda store: collect_links(store, unless), watched)
        dead = self.everywhere(lambda store: store.list_dead_blobs(unless, None, 100), watched)
        named = [entry.blob.digest for entry in dead]
        gone = self.everywhere(lambda store: collected(store, named, unless), watched)
        assert gone == {entry.blob for entry in dead}, "listed is dead"

    @rule(repository=proxied, name=manifests, time=times)
    def pull(self, repository: Repository, name: str, time: datetime) -> None:
        described_as, references = described(name), references_of(name)
        self.everywhere(
            lambda store: store.put_manifest(repository, described_as, references, time),
            repository,
        )

    @rule(repository=proxied, name=manifests)
    def delete_proxied(self, repository: Repository, name: str) -> None:
        self.everywhere(lambda store: store.delete_manifest(repository, digest(name)), repository)

    @rule(used=digests, by=st.none() | repositories, time=times)
    def use(self, used: Digest, by: Repository | None, time: datetime) -> None:
        self.everywhere(lambda store: store.record_uses({Use(by, used): time}))

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

    @invariant()
    def nothing_hosted_dangles(self) -> None:
        self.runner.run(self.check_hosted())

    async def check_hosted(self) -> None:
        for repository in HOSTED:
            for name in MANIFESTS:
                if await self.memory.get_manifest(repository, digest(name)) is None:
                    continue
                assert await self.memory.get_stored(digest(name)), name
                for layer in IMAGES.get(name, ""):
                    assert await self.memory.get_blob(repository, digest(layer)), (name, layer)
                for child in INDEXES.get(name, ()):
                    assert await self.memory.get_manifest(repository, digest(child)), (name, child)
            for tag in TAGS:
                record = await self.memory.get_tag(repository, tag)
                assert record is None or await self.memory.get_manifest(
                    repository, record.descriptor.digest
                )

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


async def collected(store: Facts, named: Sequence[Digest], unless: datetime) -> set[BlobRecord]:
    gone = await store.collect_blobs(named, unless)
    assert len(set(gone)) == len(gone)
    return set(gone)


async def evicted(
    store: Facts, idle: Sequence[IdleManifest], named: Sequence[Digest], unless: datetime
) -> set[BlobRecord]:
    return set(await store.evict(idle, named, unless))


HostingHistories.TestCase.settings = settings(
    max_examples=8,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestHostingHistories = HostingHistories.TestCase
