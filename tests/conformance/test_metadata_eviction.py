"""What every metadata store promises about what may go, and about its removal."""

from collections.abc import Sequence

import pytest

from mirror.oci.digest import Digest
from mirror.ports.metadata import (
    MOST_NEEDS,
    BlobRecord,
    IdleBlob,
    IdleManifest,
    MetadataStore,
)
from tests.conformance.metadata import (
    HOSTED,
    LATEST,
    NGINX,
    NGINX_ELSEWHERE,
    REDIS,
    STABLE,
    at,
    blob,
    digest,
    idle_blobs,
    idle_manifests,
    image_of,
    index,
    index_of,
    layer,
    manifest,
    put_image,
    tagged,
    use,
)

ANY_TIME = at(10_000)


async def idle_digests(store: MetadataStore) -> list[Digest]:
    return [entry.blob.digest for entry in await idle_blobs(store)]


async def evict_all(
    store: MetadataStore,
    manifests: Sequence[IdleManifest],
    *names: str,
    unless_used_after: float = 10_000,
) -> set[BlobRecord]:
    gone = await store.evict(manifests, [digest(name) for name in names], at(unless_used_after))
    return set(gone)


async def test_an_idle_manifest_tells_what_goes_with_it(metadata: MetadataStore) -> None:
    await put_image(metadata, NGINX, "m", [layer("a", 100), layer("shared", 50)], 1)
    await metadata.put_manifest(
        NGINX, manifest("n", 11), image_of(layer("shared", 50), layer("missing")), at(2)
    )
    await put_image(metadata, HOSTED, "h", [layer("shared", 50)], 3)
    await metadata.put_tag(NGINX, STABLE, tagged(manifest("m")))
    await metadata.put_tag(NGINX, LATEST, tagged(manifest("m")))
    await metadata.put_tag(REDIS, LATEST, tagged(manifest("m")))

    first, second = await idle_manifests(metadata)

    assert (first.repository, first.descriptor) == (NGINX, manifest("m"))
    assert first.last_used_at == at(1)
    assert first.tags == ("latest", "stable")
    expected = {
        (blob(manifest("m")), 1),
        (blob(layer("a", 100)), 1),
        (blob(layer("shared", 50)), 4),
    }
    assert list(first.blobs) == sorted(expected, key=lambda pair: str(pair[0].digest))
    assert second.tags == ()
    assert set(second.blobs) == {(blob(manifest("n", 11)), 1), (blob(layer("shared", 50)), 4)}


async def test_a_manifest_in_two_repositories_needs_its_blobs_twice(
    metadata: MetadataStore,
) -> None:
    for repository in (NGINX, NGINX_ELSEWHERE):
        await put_image(metadata, repository, "m", [layer("a")])

    for entry in await idle_manifests(metadata):
        assert set(entry.blobs) == {(blob(manifest("m")), 2), (blob(layer("a")), 2)}


async def test_an_index_does_not_need_the_bytes_of_its_children(metadata: MetadataStore) -> None:
    await metadata.put_manifest(NGINX, index("i"), index_of(manifest("c")), at(1))
    await metadata.put_manifest(NGINX, manifest("c"), None, at(2))

    of_index, of_child = await idle_manifests(metadata)

    assert of_index.blobs == ((blob(index("i")), 1),)
    assert of_child.blobs == ((blob(manifest("c")), 1),)


async def test_a_hosted_link_is_one_more_need(metadata: MetadataStore) -> None:
    """As many as there are: what links it without a manifest never goes."""
    await put_image(metadata, NGINX, "m", [layer("a"), layer("b")])
    await metadata.put_blob(HOSTED, blob(layer("a")), at(1))
    await metadata.put_blob(REDIS, blob(layer("b")), at(1))

    [entry] = await idle_manifests(metadata)

    needs = dict(entry.blobs)
    assert needs[blob(layer("a"))] == 2
    assert needs[blob(layer("b"))] == 1


@pytest.mark.parametrize("metadata", ["memory", "sql"], indirect=True)  # slow, and not cached
async def test_counting_needs_comes_to_an_end(metadata: MetadataStore) -> None:
    for number in range(MOST_NEEDS + 5):
        await metadata.put_manifest(NGINX, manifest(f"m{number}"), image_of(layer("a")), at(number))
    await metadata.put_blob(NGINX, blob(layer("a")), at(0))

    (first,), _ = await metadata.list_idle_manifests(None, 1)

    assert dict(first.blobs)[blob(layer("a"))] == MOST_NEEDS


async def test_manifests_are_listed_oldest_use_first(metadata: MetadataStore) -> None:
    for number, seconds in enumerate([3, 1, 2]):
        await metadata.put_manifest(NGINX, manifest(f"m{number}"), None, at(seconds))
    await use(metadata, digest("m1"), 9, by=NGINX)

    listed = await idle_manifests(metadata)

    assert [entry.descriptor.digest for entry in listed] == [digest(m) for m in ("m2", "m0", "m1")]


async def test_blobs_are_listed_oldest_use_first(metadata: MetadataStore) -> None:
    for number, seconds in enumerate([3, 1, 2]):
        await metadata.put_blob(NGINX, blob(layer(f"b{number}")), at(seconds))
    await use(metadata, digest("b1"), 9, by=None)

    assert await idle_digests(metadata) == [digest(b) for b in ("b2", "b0", "b1")]


@pytest.mark.parametrize("limit", [1, 2, 7, 8, 100])
async def test_pages_hold_everything_once(metadata: MetadataStore, limit: int) -> None:
    """Uses at the same moment and hosted content in between do not confuse the cursor."""
    for number in range(7):
        seconds = number // 3
        await metadata.put_manifest(NGINX, manifest(f"m{number}"), None, at(seconds))
        await metadata.put_manifest(HOSTED, manifest(f"h{number}"), None, at(seconds))
        await metadata.put_blob(NGINX, blob(layer(f"b{number}")), at(seconds))
        await metadata.put_blob(HOSTED, blob(layer(f"c{number}")), at(seconds))

    found = [entry.descriptor.digest for entry in await idle_manifests(metadata, limit)]
    orphans = [entry.blob.digest for entry in await idle_blobs(metadata, limit)]

    assert sorted(map(str, found)) == sorted(str(digest(f"m{number}")) for number in range(7))
    assert sorted(map(str, orphans)) == sorted(str(digest(f"b{number}")) for number in range(7))


async def test_a_scan_goes_on_after_what_was_removed_under_it(metadata: MetadataStore) -> None:
    for number in range(4):
        await metadata.put_blob(NGINX, blob(layer(f"b{number}")), at(number))
    page, cursor = await metadata.list_idle_blobs(None, 2)
    assert cursor is not None

    await metadata.evict([], [entry.blob.digest for entry in page], ANY_TIME)
    rest, _ = await metadata.list_idle_blobs(cursor, 2)

    assert [entry.blob.digest for entry in rest] == [digest("b2"), digest("b3")]


async def test_a_cursor_stands_for_a_place_and_not_for_what_was_there(
    metadata: MetadataStore,
) -> None:
    for number in range(3):
        await metadata.put_blob(NGINX, blob(layer(f"b{number}")), at(number))
    _, cursor = await metadata.list_idle_blobs(None, 2)
    assert cursor is not None

    await use(metadata, digest("b1"), 5, by=None)
    rest, _ = await metadata.list_idle_blobs(cursor, 5)
    await metadata.forget_blob(digest("b1"))
    await metadata.forget_blob(digest("b2"))
    nothing, end = await metadata.list_idle_blobs(cursor, 5)

    assert [entry.blob.digest for entry in rest] == [digest("b2"), digest("b1")]
    assert (list(nothing), end) == ([], None)


async def test_hosted_manifests_are_never_listed(metadata: MetadataStore) -> None:
    await put_image(metadata, HOSTED, "m", [layer("a")])

    assert await idle_manifests(metadata) == []
    assert await idle_blobs(metadata) == []


async def test_an_idle_blob_tells_where_it_can_be_had_again(metadata: MetadataStore) -> None:
    await metadata.put_blob(NGINX, blob(layer("a", 7)), at(1))
    await metadata.link_blob(REDIS, digest("a"))
    await metadata.link_blob(NGINX_ELSEWHERE, digest("a"))

    assert await idle_blobs(metadata) == [
        IdleBlob(BlobRecord(digest("a"), 7), at(1), frozenset({"docker.io", "ghcr.io"}))
    ]


async def test_a_blob_that_lost_its_manifest_is_idle_and_linked_to_nobody(
    metadata: MetadataStore,
) -> None:
    await put_image(metadata, NGINX, "m", [layer("a")])
    assert await idle_blobs(metadata) == []

    await metadata.delete_manifest(NGINX, digest("m"))

    idle = {entry.blob.digest: entry.upstreams for entry in await idle_blobs(metadata)}
    assert idle == {digest("m"): frozenset(), digest("a"): frozenset()}


async def test_a_blob_linked_to_a_hosted_repository_is_not_idle(metadata: MetadataStore) -> None:
    await metadata.put_blob(NGINX, blob(layer("a")), at(0))
    await metadata.link_blob(HOSTED, digest("a"))

    assert await idle_blobs(metadata) == []


async def test_an_evicted_image_is_gone(metadata: MetadataStore) -> None:
    await put_image(metadata, NGINX, "m", [layer("a", 100)])
    await metadata.put_tag(NGINX, LATEST, tagged(manifest("m")))
    assert await metadata.get_tag(NGINX, LATEST)
    assert await metadata.get_manifest(NGINX, digest("m"))
    assert await metadata.get_blob(NGINX, digest("a"))
    assert await metadata.linked_size(NGINX, digest("a"))

    gone = await evict_all(metadata, await idle_manifests(metadata), "m", "a")

    assert gone == {blob(manifest("m")), blob(layer("a", 100))}
    assert await metadata.get_tag(NGINX, LATEST) is None
    assert await metadata.get_manifest(NGINX, digest("m")) is None
    assert await metadata.get_blob(NGINX, digest("a")) is None
    assert await metadata.get_stored(digest("a")) is None
    assert await metadata.linked_size(NGINX, digest("a")) is None
    assert await idle_manifests(metadata) == []
    assert await idle_blobs(metadata) == []


async def test_only_the_blobs_named_go(metadata: MetadataStore) -> None:
    await put_image(metadata, NGINX, "m", [layer("a"), layer("b")])

    gone = await evict_all(metadata, await idle_manifests(metadata), "a", "a", "never stored")

    assert gone == {blob(layer("a"))}
    assert set(await idle_digests(metadata)) == {digest("m"), digest("b")}
    assert await metadata.get_blob(NGINX, digest("b")) is None, "its manifest took the link along"


async def test_a_blob_that_a_remaining_manifest_needs_stays(metadata: MetadataStore) -> None:
    await put_image(metadata, NGINX, "m", [layer("shared")], 1)
    await put_image(metadata, REDIS, "other", [layer("shared")], 2)
    oldest, _ = await idle_manifests(metadata)

    assert await evict_all(metadata, [oldest], "m", "shared", "other") == {blob(manifest("m"))}

    assert await metadata.get_blob(REDIS, digest("shared")) == blob(layer("shared"))
    assert await metadata.get_blob(NGINX, digest("shared")) is None


async def test_a_manifest_evicted_from_one_repository_stays_in_another(
    metadata: MetadataStore,
) -> None:
    await put_image(metadata, NGINX, "m", [layer("a")], 1)
    await put_image(metadata, REDIS, "m", [layer("a")], 2)
    oldest, _ = await idle_manifests(metadata)

    assert await evict_all(metadata, [oldest], "m", "a") == set()

    assert await metadata.get_manifest(NGINX, digest("m")) is None
    assert await metadata.get_manifest(REDIS, digest("m")) == manifest("m")
    assert await metadata.get_blob(REDIS, digest("a")) == blob(layer("a"))


async def test_a_manifest_used_since_stays_with_its_blobs(metadata: MetadataStore) -> None:
    await put_image(metadata, NGINX, "m", [layer("a")], 1)
    await metadata.put_tag(NGINX, LATEST, tagged(manifest("m")))
    idle = await idle_manifests(metadata)
    await use(metadata, digest("m"), 6, by=NGINX)

    assert await evict_all(metadata, idle, "m", "a", unless_used_after=5) == set()

    assert await metadata.get_manifest(NGINX, digest("m")) == manifest("m")
    assert await metadata.get_tag(NGINX, LATEST) == tagged(manifest("m"))
    assert await metadata.get_blob(NGINX, digest("a")) == blob(layer("a"))


async def test_a_blob_used_since_stays(metadata: MetadataStore) -> None:
    for name in ("touched", "stored again", "old"):
        await metadata.put_blob(NGINX, blob(layer(name)), at(1))
    await use(metadata, digest("touched"), 6, by=None)
    await metadata.put_blob(NGINX, blob(layer("stored again")), at(6))

    gone = await evict_all(metadata, [], "touched", "stored again", "old", unless_used_after=5)

    assert gone == {blob(layer("old"))}
    assert await metadata.get_blob(NGINX, digest("touched")) == blob(layer("touched"))


async def test_used_at_that_very_moment_is_not_used_since(metadata: MetadataStore) -> None:
    await put_image(metadata, NGINX, "m", [layer("a")], 5)

    gone = await evict_all(metadata, await idle_manifests(metadata), "m", "a", unless_used_after=5)

    assert gone == {blob(manifest("m")), blob(layer("a"))}


async def test_a_blob_that_became_needed_since_stays(metadata: MetadataStore) -> None:
    await metadata.put_blob(NGINX, blob(layer("a")), at(1))
    assert await idle_digests(metadata) == [digest("a")]
    await metadata.put_manifest(REDIS, manifest("m"), image_of(layer("a")), at(1))

    assert await evict_all(metadata, [], "a") == set()


async def test_a_blob_that_hosted_content_linked_since_stays(metadata: MetadataStore) -> None:
    await metadata.put_blob(NGINX, blob(layer("a")), at(1))
    await metadata.link_blob(HOSTED, digest("a"))

    assert await evict_all(metadata, [], "a") == set()
    assert await metadata.get_blob(HOSTED, digest("a")) == blob(layer("a"))


async def test_a_hosted_manifest_is_not_evicted_whoever_asks(metadata: MetadataStore) -> None:
    await put_image(metadata, HOSTED, "m", [layer("a")])
    claim = IdleManifest(HOSTED, manifest("m"), at(0), (), ())

    assert await evict_all(metadata, [claim], "m", "a") == set()

    assert await metadata.get_manifest(HOSTED, digest("m")) == manifest("m")
    assert await metadata.get_blob(HOSTED, digest("a")) == blob(layer("a"))


async def test_an_evicted_blob_is_linked_to_nobody_when_it_comes_back(
    metadata: MetadataStore,
) -> None:
    await metadata.put_blob(NGINX, blob(layer("a")), at(1))
    assert await metadata.get_blob(NGINX, digest("a"))
    await evict_all(metadata, [], "a")

    await metadata.put_blob(REDIS, blob(layer("a")), at(2))

    assert await metadata.get_blob(NGINX, digest("a")) is None


async def test_evicting_nothing_is_nothing(metadata: MetadataStore) -> None:
    never = IdleManifest(NGINX, manifest("never"), at(0), (), ())

    assert await evict_all(metadata, []) == set()
    assert await evict_all(metadata, [never], "never") == set()


@pytest.mark.parametrize("metadata", ["memory", "sql"], indirect=True)  # slow, and not cached
async def test_a_large_batch_goes_at_once(metadata: MetadataStore) -> None:
    names = [f"m{number}" for number in range(600)]
    for name in names:
        await metadata.put_manifest(NGINX, manifest(name), None, at(0))

    gone = await evict_all(metadata, await idle_manifests(metadata, 1000), *names)

    assert len(gone) == 600
    assert (await metadata.totals()).bytes == 0
