"""What every store of facts promises about which hosted repository may serve which blob."""

import pytest

from mirror.ports.hosting import MOST_NAMED, Facts, Removal
from mirror.ports.repository import Repository
from tests.conformance.metadata import (
    NGINX,
    NGINX_ELSEWHERE,
    REDIS,
    at,
    blob,
    digest,
    image_of,
    layer,
    manifest,
    put_image,
)
from tests.conformance.pushing import APP, COPY, collect_links, layers_of, push_image, pushed


@pytest.mark.parametrize("source", [COPY, NGINX])
async def test_a_stored_blob_is_mounted_wherever_it_came_from(
    metadata: Facts, source: Repository
) -> None:
    await metadata.put_blob(source, blob(layer("a")), at(0))
    assert await metadata.get_blob(APP, digest("a")) is None

    assert await metadata.mount_blob(APP, digest("a"), at(1)) == blob(layer("a"))
    assert await metadata.mount_blob(APP, digest("a"), at(2)) == blob(layer("a"))

    assert await metadata.get_blob(APP, digest("a")) == blob(layer("a"))
    assert await metadata.get_blob(COPY, digest("a")) == (
        blob(layer("a")) if source == COPY else None
    )


async def test_what_is_not_stored_cannot_be_mounted(metadata: Facts) -> None:
    await metadata.put_blob(APP, blob(layer("lost")), at(0))
    await metadata.forget_blob(digest("lost"))

    assert await metadata.mount_blob(APP, digest("lost"), at(1)) is None
    assert await metadata.mount_blob(APP, digest("never"), at(1)) is None

    await metadata.put_blob(COPY, blob(layer("never")), at(2))
    assert await metadata.get_blob(APP, digest("never")) is None


async def test_a_link_is_renewed_where_there_is_one(metadata: Facts) -> None:
    await metadata.put_blob(APP, blob(layer("a")), at(0))

    assert await metadata.renew_link(APP, digest("a"), at(1)) == blob(layer("a"))
    assert await metadata.renew_link(COPY, digest("a"), at(1)) is None
    assert await metadata.renew_link(APP, digest("never"), at(1)) is None

    assert await metadata.get_blob(COPY, digest("a")) is None


async def test_the_link_of_a_lost_blob_is_not_renewed(metadata: Facts) -> None:
    await metadata.put_blob(APP, blob(layer("a")), at(0))
    await metadata.forget_blob(digest("a"))

    assert await metadata.renew_link(APP, digest("a"), at(5)) is None

    assert await collect_links(metadata, at(4)) == 1


async def test_an_unlinked_blob_is_not_served_there_any_more(metadata: Facts) -> None:
    for repository in (APP, COPY):
        await metadata.put_blob(repository, blob(layer("a")), at(0))
        assert await metadata.get_blob(repository, digest("a"))

    assert await metadata.unlink_blob(APP, digest("a")) == Removal(True, ())

    assert await metadata.get_blob(APP, digest("a")) is None
    assert await metadata.get_blob(COPY, digest("a")) == blob(layer("a"))
    assert await metadata.get_stored(digest("a")) == blob(layer("a"))
    assert await metadata.unlink_blob(APP, digest("a")) == Removal(False, ())


async def test_what_was_never_linked_cannot_be_unlinked(metadata: Facts) -> None:
    await metadata.put_blob(COPY, blob(layer("a")), at(0))
    await push_image(metadata, "m", [])

    assert await metadata.unlink_blob(APP, digest("a")) == Removal(False, ())
    assert await metadata.unlink_blob(APP, digest("m")) == Removal(False, ())
    assert await metadata.unlink_blob(APP, digest("never")) == Removal(False, ())


async def test_what_a_manifest_needs_stays_linked(metadata: Facts) -> None:
    for name in ("m", "n"):
        await push_image(metadata, name, layers_of("a"))

    kept = await metadata.unlink_blob(APP, digest("a"))

    assert kept.found
    assert set(kept.needed_by) == {digest("m"), digest("n")}
    assert await metadata.get_blob(APP, digest("a")) == blob(layer("a"))
    for name in ("m", "n"):
        await metadata.remove_manifest(APP, digest(name))
    assert await metadata.unlink_blob(APP, digest("a")) == Removal(True, ())
    assert await metadata.get_blob(APP, digest("a")) is None


async def test_what_other_repositories_need_may_be_unlinked_here(metadata: Facts) -> None:
    await push_image(metadata, "m", layers_of("a"), repository=COPY)
    await metadata.put_blob(APP, blob(layer("a")), at(0))

    assert await metadata.unlink_blob(APP, digest("a")) == Removal(True, ())
    assert await metadata.get_blob(COPY, digest("a")) == blob(layer("a"))


async def test_a_manifest_pushed_as_a_blob_too_may_be_unlinked(metadata: Facts) -> None:
    """It needs its own bytes, but nobody need be able to get them as a blob."""
    await push_image(metadata, "m", [])
    await metadata.put_blob(APP, blob(manifest("m")), at(0))

    assert await metadata.unlink_blob(APP, digest("m")) == Removal(True, ())
    assert await metadata.get_manifest(APP, digest("m")) == manifest("m")


async def test_a_lost_blob_may_be_unlinked(metadata: Facts) -> None:
    await metadata.put_blob(APP, blob(layer("a")), at(0))
    await metadata.forget_blob(digest("a"))

    assert await metadata.unlink_blob(APP, digest("a")) == Removal(True, ())

    await metadata.put_blob(COPY, blob(layer("a")), at(0))
    assert await metadata.get_blob(APP, digest("a")) is None


async def test_of_many_that_need_a_blob_some_are_named(metadata: Facts) -> None:
    await metadata.put_blob(APP, blob(layer("a")), at(0))
    for number in range(MOST_NAMED + 2):
        await metadata.push_manifest(pushed(manifest(f"m{number}"), image_of(layer("a"))))

    assert len((await metadata.unlink_blob(APP, digest("a"))).needed_by) == MOST_NAMED


async def test_the_owners_of_a_blob(metadata: Facts) -> None:
    for repository in (REDIS, COPY, NGINX_ELSEWHERE, NGINX, APP):
        await metadata.put_blob(repository, blob(layer("a")), at(0))

    assert await metadata.list_owners(digest("a"), 10) == [APP, COPY, NGINX, REDIS, NGINX_ELSEWHERE]
    assert await metadata.list_owners(digest("a"), 3) == [APP, COPY, NGINX]


async def test_what_is_not_stored_has_no_owners(metadata: Facts) -> None:
    await metadata.link_blob(NGINX, digest("never"))
    await metadata.put_blob(APP, blob(layer("lost")), at(0))
    await metadata.forget_blob(digest("lost"))

    assert await metadata.list_owners(digest("never"), 10) == []
    assert await metadata.list_owners(digest("lost"), 10) == []


async def test_hosted_bytes_are_those_that_are_linked_or_needed(metadata: Facts) -> None:
    await put_image(metadata, NGINX, "proxied", [layer("shared", 1000), layer("theirs", 7)])
    await metadata.put_blob(COPY, blob(layer("uploaded", 10_000)), at(0))
    await push_image(metadata, "m", [layer("shared", 1000), layer("ours", 100)])
    await push_image(metadata, "m", [layer("shared", 1000)], repository=COPY)

    assert (await metadata.totals()).hosted_bytes == 11_110
    assert (await metadata.totals()).bytes == 11_127

    await metadata.unlink_blob(COPY, digest("uploaded"))
    await metadata.forget_blob(digest("ours"))

    assert (await metadata.totals()).hosted_bytes == 1010
