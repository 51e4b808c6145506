"""What every store of facts promises about what nothing needs any more, and about its removal."""

import pytest

from mirror.oci.digest import Digest
from mirror.oci.manifest import References
from mirror.ports.hosting import DeadBlob, Facts
from mirror.ports.metadata import BlobRecord
from mirror.ports.repository import Repository
from tests.conformance.metadata import (
    HOSTED,
    LATEST,
    NGINX,
    at,
    blob,
    digest,
    idle_blobs,
    image_of,
    index,
    index_of,
    layer,
    manifest,
    put_image,
    use,
)
from tests.conformance.pushing import (
    APP,
    COPY,
    RECORDED,
    collect_links,
    layers_of,
    push_image,
    pushed,
)

LATE = 1000.0


async def dead(facts: Facts, seconds: float = LATE, limit: int = 100) -> list[DeadBlob]:
    found: list[DeadBlob] = []
    while True:
        after = found[-1].blob.digest if found else None
        page = await facts.list_dead_blobs(at(seconds), after, limit)
        assert len(page) <= limit
        found += page
        if len(page) < limit:
            return found


async def dead_digests(facts: Facts, seconds: float = LATE) -> set[Digest]:
    return {entry.blob.digest for entry in await dead(facts, seconds)}


async def collect(facts: Facts, *names: str, seconds: float = LATE) -> set[BlobRecord]:
    gone = await facts.collect_blobs([digest(name) for name in names], at(seconds))
    assert len(set(gone)) == len(gone)
    return set(gone)


async def test_nothing_is_dead_at_first(metadata: Facts) -> None:
    assert await dead(metadata) == []
    assert await collect(metadata) == set()
    assert await collect(metadata, "never") == set()
    assert await collect_links(metadata, at(LATE)) == 0


async def test_a_blob_that_was_pushed_for_nothing_is_dead_after_a_while(metadata: Facts) -> None:
    await metadata.put_blob(APP, blob(layer("a", 7)), at(5))

    assert await dead(metadata, 4.9) == []
    assert await dead(metadata, 5) == [DeadBlob(blob(layer("a", 7)), at(5))]


async def test_a_collected_blob_is_gone(metadata: Facts) -> None:
    await metadata.put_blob(APP, blob(layer("a")), at(0))
    await metadata.mount_blob(COPY, digest("a"), at(0))
    for repository in (APP, COPY):
        assert await metadata.get_blob(repository, digest("a"))

    assert await collect(metadata, "a", "a") == {blob(layer("a"))}

    for repository in (APP, COPY):
        assert await metadata.get_blob(repository, digest("a")) is None
    assert await metadata.get_stored(digest("a")) is None
    assert await dead(metadata) == []
    await metadata.put_blob(HOSTED, blob(layer("a")), at(1))
    assert await metadata.get_blob(APP, digest("a")) is None, "its links have gone too"


async def test_only_the_blobs_named_are_collected(metadata: Facts) -> None:
    for name in "abc":
        await metadata.put_blob(APP, blob(layer(name)), at(0))

    assert await collect(metadata, "a", "c") == {blob(layer("a")), blob(layer("c"))}

    assert await metadata.get_blob(APP, digest("b")) == blob(layer("b"))


async def test_what_a_manifest_needs_is_alive(metadata: Facts) -> None:
    await push_image(metadata, "m", layers_of("a"), LATEST)
    await metadata.push_manifest(pushed(index("i"), index_of(manifest("m"))))

    assert await dead(metadata) == []
    assert await collect(metadata, "m", "a", "i") == set()


@pytest.mark.parametrize("other", [COPY, NGINX])
async def test_whichever_repository_has_the_manifest(metadata: Facts, other: Repository) -> None:
    await push_image(metadata, "m", layers_of("a"))
    await put_image(metadata, other, "m", layers_of("a"))
    await metadata.remove_manifest(APP, digest("m"))
    await metadata.unlink_blob(APP, digest("a"))

    assert await collect(metadata, "m", "a") == set()
    assert await metadata.get_blob(other, digest("a")) == blob(layer("a"))
    assert await metadata.get_manifest(other, digest("m")) == manifest("m")


async def test_an_image_that_was_removed_is_dead_with_all_of_it(metadata: Facts) -> None:
    await push_image(metadata, "m", [layer("a"), layer("shared")], LATEST)
    await push_image(metadata, "n", [layer("shared")])
    await metadata.remove_manifest(APP, digest("m"))

    assert await dead_digests(metadata) == {digest("m"), digest("a")}
    gone = await collect(metadata, "m", "a", "shared", "n")
    assert gone == {blob(manifest("m")), blob(layer("a"))}
    assert await metadata.get_blob(APP, digest("shared")) == blob(layer("shared"))


async def test_what_a_proxied_repository_links_is_not_for_collection(metadata: Facts) -> None:
    await metadata.put_blob(NGINX, blob(layer("a")), at(0))
    await metadata.mount_blob(APP, digest("a"), at(0))

    assert await dead(metadata) == []
    assert await collect(metadata, "a") == set()
    assert await idle_blobs(metadata) == [], "nor, while it is linked here, for eviction"

    assert await collect_links(metadata, at(LATE)) == 1
    assert [entry.blob for entry in await idle_blobs(metadata)] == [blob(layer("a"))]
    assert await dead(metadata) == []


async def test_what_lost_its_proxied_manifest_is_for_either(metadata: Facts) -> None:
    await put_image(metadata, NGINX, "m", layers_of("a"))
    await metadata.delete_manifest(NGINX, digest("m"))

    assert await dead_digests(metadata) == {digest("m"), digest("a")}
    assert {entry.blob.digest for entry in await idle_blobs(metadata)} == {digest("m"), digest("a")}


@pytest.mark.parametrize("touch", ["pushed", "mounted", "renewed", "used", "recorded"])
async def test_what_was_touched_lately_is_alive(metadata: Facts, touch: str) -> None:
    await metadata.put_blob(APP, blob(layer("a")), at(0))
    assert await dead_digests(metadata, 5) == {digest("a")}
    match touch:
        case "pushed":
            await metadata.put_blob(APP, blob(layer("a")), at(6))
        case "mounted":
            await metadata.mount_blob(COPY, digest("a"), at(6))
        case "renewed":
            await metadata.renew_link(APP, digest("a"), at(6))
        case "used":
            await use(metadata, digest("a"), 6, by=None)
        case _:
            await metadata.push_manifest(pushed(manifest("m"), image_of(layer("a")), seconds=6))
            await metadata.remove_manifest(APP, digest("m"))

    assert digest("a") not in await dead_digests(metadata, 5)
    assert await collect(metadata, "a", seconds=5) == set()
    assert await collect_links(metadata, at(5)) == (1 if touch in ("mounted", "used") else 0)
    assert DeadBlob(blob(layer("a")), at(6)) in await dead(metadata, 6)


async def test_a_link_gets_no_older(metadata: Facts) -> None:
    await metadata.put_blob(APP, blob(layer("a")), at(6))
    await metadata.put_blob(APP, blob(layer("a")), at(1))
    await metadata.mount_blob(APP, digest("a"), at(2))
    await metadata.renew_link(APP, digest("a"), at(3))
    await metadata.link_blob(APP, digest("a"))

    assert await collect(metadata, "a", seconds=5) == set()
    assert await collect_links(metadata, at(5)) == 0
    assert await collect_links(metadata, at(6)) == 1


async def test_needed_again_since_it_was_listed(metadata: Facts) -> None:
    await metadata.put_blob(APP, blob(layer("a")), at(0))
    assert await dead_digests(metadata, 5) == {digest("a")}
    push = pushed(manifest("m"), image_of(layer("a")), seconds=6)
    assert await metadata.push_manifest(push) == RECORDED

    assert await collect(metadata, "a", seconds=5) == set()
    assert await metadata.get_blob(APP, digest("a")) == blob(layer("a"))


async def test_a_push_after_the_collection_is_told_what_is_missing(metadata: Facts) -> None:
    await metadata.put_blob(APP, blob(layer("a")), at(0))
    await collect(metadata, "a")

    assert (await metadata.push_manifest(pushed(manifest("m"), image_of(layer("a"))))).missing


async def test_the_bytes_of_a_manifest_live_as_long_as_it_does(metadata: Facts) -> None:
    for repository in (APP, COPY):
        await push_image(metadata, "m", [], repository=repository)
    await metadata.remove_manifest(APP, digest("m"))
    assert await collect(metadata, "m") == set()
    await metadata.remove_manifest(COPY, digest("m"))
    assert await dead(metadata) == [DeadBlob(blob(manifest("m")), at(0))]

    assert await collect(metadata, "m") == {blob(manifest("m"))}


async def test_a_subject_is_not_needed_by_what_is_about_it(metadata: Facts) -> None:
    await push_image(metadata, "m", [])
    await metadata.push_manifest(pushed(manifest("sbom"), References((), (), manifest("m"))))
    await metadata.remove_manifest(APP, digest("m"))

    assert await dead_digests(metadata) == {digest("m")}


@pytest.mark.parametrize("limit", [1, 2, 7, 8])
async def test_the_dead_page_by_page(metadata: Facts, limit: int) -> None:
    for number in range(7):
        await metadata.put_blob(APP, blob(layer(f"d{number}")), at(0))
        await metadata.put_blob(NGINX, blob(layer(f"p{number}")), at(0))
        await metadata.put_blob(APP, blob(layer(f"young {number}")), at(9))

    found = [entry.blob.digest for entry in await dead(metadata, 5, limit)]

    assert found == sorted((digest(f"d{number}") for number in range(7)), key=str)


async def test_the_list_goes_on_after_what_was_collected(metadata: Facts) -> None:
    for number in range(4):
        await metadata.put_blob(APP, blob(layer(f"d{number}")), at(0))
    page = await metadata.list_dead_blobs(at(LATE), None, 2)

    await metadata.collect_blobs([entry.blob.digest for entry in page], at(LATE))
    rest = await metadata.list_dead_blobs(at(LATE), page[-1].blob.digest, 2)

    assert len({entry.blob.digest for entry in (*page, *rest)}) == 4


async def test_a_link_that_nothing_explains_goes_after_a_while(metadata: Facts) -> None:
    """The blob stays: another repository needs it."""
    await push_image(metadata, "m", layers_of("a"), repository=COPY)
    await metadata.mount_blob(APP, digest("a"), at(5))
    assert await metadata.get_blob(APP, digest("a"))

    assert await collect_links(metadata, at(4)) == 0
    assert await metadata.get_blob(APP, digest("a"))
    assert await collect_links(metadata, at(5)) == 1

    assert await metadata.get_blob(APP, digest("a")) is None
    assert await metadata.get_blob(COPY, digest("a")) == blob(layer("a"))


async def test_links_of_proxied_repositories_are_left_alone(metadata: Facts) -> None:
    await metadata.put_blob(NGINX, blob(layer("a")), at(0))
    await metadata.link_blob(NGINX, digest("b"))
    await put_image(metadata, NGINX, "m", layers_of("c"))

    assert await collect_links(metadata, at(LATE)) == 0
    assert await metadata.get_blob(NGINX, digest("a")) == blob(layer("a"))


async def test_links_that_a_manifest_explains_are_left_alone(metadata: Facts) -> None:
    await push_image(metadata, "m", layers_of("a"))

    assert await collect_links(metadata, at(LATE)) == 0

    await metadata.remove_manifest(APP, digest("m"))
    assert await collect_links(metadata, at(LATE)) == 1


async def test_a_manifest_that_was_pushed_as_a_blob_too_is_none_after_a_while(
    metadata: Facts,
) -> None:
    """Neither it nor the index above it, nor what is about it, asks for it as a blob."""
    await push_image(metadata, "m", [])
    await metadata.push_manifest(pushed(index("i"), index_of(manifest("m"))))
    await metadata.push_manifest(pushed(manifest("sbom"), References((), (), manifest("m"))))
    await metadata.put_blob(APP, blob(manifest("m")), at(0))

    assert await collect_links(metadata, at(LATE)) == 1

    assert await metadata.get_blob(APP, digest("m")) is None
    assert await metadata.get_manifest(APP, digest("m")) == manifest("m")
    assert await metadata.get_stored(digest("m")) == blob(manifest("m"))


async def test_a_link_made_long_ago_may_go(metadata: Facts) -> None:
    await metadata.link_blob(APP, digest("never stored"))

    assert await collect_links(metadata, at(0)) == 1
    assert await collect_links(metadata, at(0)) == 0


async def test_links_go_so_many_at_a_time(metadata: Facts) -> None:
    for number in range(5):
        await metadata.put_blob(APP, blob(layer(f"b{number}")), at(0))
        await metadata.mount_blob(COPY, digest(f"b{number}"), at(0))
    await push_image(metadata, "m", layers_of("b0", "b1"))

    count, after = await metadata.collect_links(at(LATE), None, 3)
    counts = [count]
    while after is not None:
        count, after = await metadata.collect_links(at(LATE), after, 3)
        counts.append(count)

    assert counts == [3, 3, 2]
    assert await collect_links(metadata, at(LATE)) == 0
    linked = [await metadata.get_blob(APP, digest(f"b{number}")) for number in range(5)]
    assert linked == [blob(layer("b0")), blob(layer("b1")), None, None, None]


async def test_links_that_were_looked_at_are_not_looked_at_again(metadata: Facts) -> None:
    """Or else looking for the last of many would take as long as for all of them together."""
    for number in range(3):
        await metadata.put_blob(APP, blob(layer(f"b{number}")), at(number))
    count, after = await metadata.collect_links(at(LATE), None, 1)
    assert (count, after is None) == (1, False)
    await metadata.link_blob(APP, digest("made long ago"))

    assert await metadata.collect_links(at(LATE), after, 10) == (2, None)

    assert await collect_links(metadata, at(LATE)) == 1


async def test_eviction_leaves_what_was_mounted_since(metadata: Facts) -> None:
    await put_image(metadata, NGINX, "m", layers_of("a", "b"))
    idle, _ = await metadata.list_idle_manifests(None, 10)
    await metadata.mount_blob(APP, digest("a"), at(1))

    gone = await metadata.evict(idle, [digest(name) for name in ("m", "a", "b")], at(LATE))

    assert set(gone) == {blob(manifest("m")), blob(layer("b"))}
    assert await metadata.get_blob(APP, digest("a")) == blob(layer("a"))
    assert await metadata.get_manifest(NGINX, digest("m")) is None


async def test_eviction_leaves_a_manifest_that_was_pushed_here_too(metadata: Facts) -> None:
    await put_image(metadata, NGINX, "m", layers_of("a"))
    idle, _ = await metadata.list_idle_manifests(None, 10)
    push = pushed(manifest("m"), image_of(layer("a")), LATEST, lender=NGINX)
    assert await metadata.push_manifest(push) == RECORDED

    assert await metadata.evict(idle, [digest(name) for name in ("m", "a")], at(LATE)) == []

    assert await metadata.get_manifest(APP, digest("m")) == manifest("m")
    assert await metadata.get_stored(digest("m")) == blob(manifest("m"))


@pytest.mark.parametrize("metadata", ["memory", "sql"], indirect=True)  # slow, and not cached
async def test_collecting_much_at_once(metadata: Facts) -> None:
    """More than one statement takes."""
    names = [f"m{number}" for number in range(600)]
    for name in names:
        await metadata.put_manifest(APP, manifest(name), None, at(0))
        await metadata.remove_manifest(APP, digest(name))

    assert len(await collect(metadata, *names)) == 600
