"""Manifests that are here: kept, read, found damaged and forgotten."""

import pytest

from mirror.oci.digest import Digest, digest_of
from mirror.oci.manifest import Manifest
from mirror.oci.media_type import OCI_MANIFEST, SCHEMA1, SCHEMA1_SIGNED
from mirror.oci.reference import Tag
from mirror.ports.metadata import TagRecord, Use
from mirror.registry.custody import Custody
from mirror.registry.held import MEMORY, HeldManifests
from mirror.registry.usage import Usage
from tests.registry.scripted_upstream import ScriptedUpstream, manifest_of
from tests.registry.shelf import NGINX, REDIS
from tests.registry.troubled_stores import TroubledFacts, TroubledStore
from tests.registry.workbench import DIRECT, HUB, memory_ground, set_up
from tests.simulated_hub import make_image
from tests.world import SettableClock

IMAGE = make_image(layers=[b"app"])
MANIFEST = manifest_of(IMAGE)
DIGEST = MANIFEST.digest
OTHER = manifest_of(make_image(layers=[b"other"]))


class Bench:
    """The manifests over stores that may be in trouble; ``restart`` empties the memory."""

    def __init__(self) -> None:
        self.clock = SettableClock()
        self.store = TroubledStore(self.clock)
        self.facts = TroubledFacts()
        self.restart()

    def restart(self) -> None:
        self.usage = Usage(self.clock)
        self.custody = Custody()
        self.held = HeldManifests(
            self.store, self.facts, self.facts, self.custody, self.clock, self.usage
        )

    def damage(self, digest: Digest, content: bytes) -> None:
        self.store.publish(digest, content)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_what_is_kept_is_there_again(bench: Bench) -> None:
    await bench.held.keep(NGINX, MANIFEST)
    assert await bench.held.get(NGINX, DIGEST) == MANIFEST
    bench.restart()
    assert await bench.held.get(NGINX, DIGEST) == MANIFEST
    assert await bench.held.get(REDIS, DIGEST) is None
    assert await bench.held.get(NGINX, OTHER.digest) is None


async def test_its_blobs_may_be_served_with_it(bench: Bench) -> None:
    await bench.held.keep(NGINX, MANIFEST)
    sizes = [await bench.facts.linked_size(NGINX, digest_of(blob)) for blob in IMAGE.blobs.values()]
    assert sizes == [len(blob) for blob in IMAGE.blobs.values()]


async def test_each_answer_is_a_use_and_only_that_of_its_repository(bench: Bench) -> None:
    await bench.held.keep(NGINX, MANIFEST)
    assert Use(NGINX, DIGEST) in bench.usage
    bench.restart()
    await bench.held.get(REDIS, DIGEST)
    await bench.held.get(NGINX, OTHER.digest)
    assert len(bench.usage) == 0
    await bench.held.get(NGINX, DIGEST)
    assert Use(NGINX, DIGEST) in bench.usage
    await bench.usage.flush(bench.facts)
    assert bench.held.peek(NGINX, DIGEST) == MANIFEST
    assert Use(NGINX, DIGEST) in bench.usage


async def test_a_peek_looks_only_at_what_is_in_memory(bench: Bench) -> None:
    assert bench.held.peek(NGINX, DIGEST) is None
    await bench.held.keep(NGINX, MANIFEST)
    bench.restart()
    assert bench.held.peek(NGINX, DIGEST) is None
    await bench.held.get(NGINX, DIGEST)
    assert bench.held.peek(NGINX, DIGEST) == MANIFEST
    assert bench.held.peek(REDIS, DIGEST) is None


async def test_bytes_in_memory_are_not_for_a_repository_that_lost_them(bench: Bench) -> None:
    await bench.held.keep(NGINX, MANIFEST)
    await bench.held.get(NGINX, DIGEST)
    idle, _ = await bench.facts.list_idle_manifests(None, 10)
    await bench.facts.evict(idle, [DIGEST], bench.clock.now())
    assert bench.held.peek(NGINX, DIGEST) is None
    assert await bench.held.get(NGINX, DIGEST) is None


async def test_tags_are_what_memory_says(bench: Bench) -> None:
    assert bench.held.peek_tag(NGINX, Tag("1")) is None
    record = TagRecord(MANIFEST.descriptor, bench.clock.now())
    await bench.facts.put_tag(NGINX, Tag("1"), record)
    assert bench.held.peek_tag(NGINX, Tag("1")) == record


async def test_memory_is_bounded(bench: Bench) -> None:
    """The oldest is read from the store again, as it would not be if it were still in memory."""
    size = 4 << 20
    contents = [bytes([number]) * size for number in range(MEMORY // size + 1)]
    for content in contents:
        await bench.held.keep(NGINX, Manifest(OCI_MANIFEST, digest_of(content), content))
    bench.store.failing.add("read")
    first, last = digest_of(contents[0]), digest_of(contents[-1])
    assert await bench.held.get(NGINX, first) is None
    assert await bench.held.get(NGINX, last) is not None
    bench.store.failing.clear()
    assert await bench.held.get(NGINX, first) is not None


@pytest.mark.parametrize("media_type", [SCHEMA1, SCHEMA1_SIGNED])
async def test_schema_1_is_not_kept(bench: Bench, media_type: str) -> None:
    await bench.held.keep(NGINX, Manifest(media_type, DIGEST, b"{}"))
    assert await bench.held.get(NGINX, DIGEST) is None
    assert await bench.facts.get_stored(DIGEST) is None
    assert bench.store.open(DIGEST) is None


@pytest.mark.parametrize("damage", [b"", b"not what it was", MANIFEST.content[:-1]])
async def test_a_damaged_manifest_is_set_aside_and_forgotten(
    bench: Bench, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.held.keep(NGINX, MANIFEST)
    bench.restart()
    bench.damage(DIGEST, damage)
    assert await bench.held.get(NGINX, DIGEST) is None
    assert "is damaged on disk" in caplog.text
    assert bench.store.quarantined == [DIGEST]
    assert await bench.facts.get_stored(DIGEST) is None
    assert len(bench.usage) == 0
    await bench.held.keep(NGINX, MANIFEST)
    bench.restart()
    assert await bench.held.get(NGINX, DIGEST) == MANIFEST


@pytest.mark.parametrize("failing", ["quarantine", "forget_blob"])
async def test_a_damaged_manifest_is_not_served_though_it_cannot_be_set_aside(
    bench: Bench, failing: str
) -> None:
    await bench.held.keep(NGINX, MANIFEST)
    bench.restart()
    bench.damage(DIGEST, b"not what it was")
    bench.store.failing.add(failing)
    bench.facts.failing.add(failing)
    for _ in range(2):
        assert await bench.held.get(NGINX, DIGEST) is None


async def test_a_manifest_without_its_file_is_not_served_until_it_is_kept_again(
    bench: Bench,
) -> None:
    await bench.held.keep(NGINX, MANIFEST)
    bench.restart()
    await bench.store.delete(DIGEST)
    assert await bench.held.get(NGINX, DIGEST) is None
    assert len(bench.usage) == 0
    await bench.held.keep(NGINX, MANIFEST)
    bench.restart()
    assert await bench.held.get(NGINX, DIGEST) == MANIFEST


async def test_a_store_that_cannot_be_read_is_not_an_empty_one(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.held.keep(NGINX, MANIFEST)
    bench.restart()
    bench.store.failing.add("read")
    assert await bench.held.get(NGINX, DIGEST) is None
    assert "could not be read: read cannot be done" in caplog.text
    assert bench.store.quarantined == []
    assert await bench.facts.get_stored(DIGEST) is not None
    bench.store.failing.clear()
    assert await bench.held.get(NGINX, DIGEST) == MANIFEST


async def test_a_full_store_costs_the_copy(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.store.failing.add("put")
    await bench.held.keep(NGINX, MANIFEST)
    assert "could not be kept: put finds no room" in caplog.text
    assert await bench.held.get(NGINX, DIGEST) is None
    assert await bench.facts.get_stored(DIGEST) is None
    assert len(bench.usage) == 0


async def test_a_full_store_goes_on_serving(hub_upstream: ScriptedUpstream) -> None:
    hub_upstream.put(NGINX.name.value, "latest", MANIFEST)
    ground = memory_ground()
    store = TroubledStore(ground.clock)
    store.failing.add("put")
    bench = set_up(type(ground)(ground.clock, store, ground.facts), {HUB: hub_upstream})
    for _ in range(2):
        answer = await bench.manifests.get(DIRECT, DIGEST)
        assert answer.content == MANIFEST.content
    store.failing.clear()
    await bench.manifests.get(DIRECT, DIGEST)
    assert bench.has(DIGEST)
    await bench.close()


async def test_a_file_that_could_not_be_recorded_is_not_served(bench: Bench) -> None:
    bench.facts.failing.add("put_manifest")
    await bench.held.keep(NGINX, MANIFEST)
    assert await bench.held.get(NGINX, DIGEST) is None
    bench.facts.failing.clear()
    await bench.held.keep(NGINX, MANIFEST)
    assert await bench.held.get(NGINX, DIGEST) == MANIFEST
