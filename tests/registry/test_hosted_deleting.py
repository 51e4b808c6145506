"""What is deleted is gone at once, and what something else needs is not."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from mirror.oci.errors import BlobUnknown, Denied, ManifestUnknown, NameUnknown, OCIError
from mirror.oci.page import Page
from mirror.oci.reference import RepositoryName, Tag
from mirror.ports.repository import Repository
from mirror.registry.hosted import ContentMissing
from tests.registry.hosting_bench import (
    IMAGE,
    LATEST,
    LAYER,
    OTHER,
    TEAM,
    TO_TEAM,
    House,
    build,
    digest,
)
from tests.simulated_hub import make_index

ALL = Page(None, None)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = build()
    await house.push(TEAM, "latest", IMAGE)
    await house.push(TEAM, "other", OTHER)
    yield house
    await house.close()


async def tags(house: House) -> list[str]:
    answer = await house.hosting.tags.list(TO_TEAM, ALL)
    return [tag.value for tag in answer.tags]


async def test_a_tag_goes_alone(house: House) -> None:
    await house.hosting.hosted.delete_tag(TEAM, LATEST)

    assert house.hosting.manifests.peek(TO_TEAM, LATEST) is None
    with pytest.raises(ManifestUnknown):
        await house.hosting.manifests.resolve(TO_TEAM, LATEST, content=True)
    assert (await house.hosting.manifests.get(TO_TEAM, digest(IMAGE))).content == IMAGE.content
    assert await tags(house) == ["other"]


async def test_a_manifest_goes_with_all_its_tags(house: House) -> None:
    await house.put(TEAM, "second", IMAGE)

    await house.hosting.hosted.delete_manifest(TEAM, digest(IMAGE))

    for reference in (digest(IMAGE), LATEST, Tag("second")):
        assert house.hosting.manifests.peek(TO_TEAM, reference) is None
    with pytest.raises(ManifestUnknown):
        await house.hosting.manifests.get(TO_TEAM, digest(IMAGE))
    assert await tags(house) == ["other"]


async def test_what_is_not_there_cannot_be_deleted(house: House) -> None:
    hosted = house.hosting.hosted
    missing = make_index([])
    for attempt in (
        hosted.delete_tag(TEAM, Tag("absent")),
        hosted.delete_manifest(TEAM, digest(missing)),
        hosted.delete_blob(TEAM, digest(missing)),
    ):
        with pytest.raises((ManifestUnknown, BlobUnknown)):
            await attempt


async def test_what_an_index_needs_stays(house: House) -> None:
    index = make_index([IMAGE])
    await house.put(TEAM, "index", index)

    with pytest.raises(Denied, match=f"needed by index {index.digest}"):
        await house.hosting.hosted.delete_manifest(TEAM, digest(IMAGE))

    assert (await house.hosting.manifests.get(TO_TEAM, digest(IMAGE))).content == IMAGE.content
    await house.hosting.hosted.delete_manifest(TEAM, digest(index))
    await house.hosting.hosted.delete_manifest(TEAM, digest(IMAGE))


async def test_what_a_manifest_needs_stays(house: House) -> None:
    with pytest.raises(Denied, match=f"needed by manifest {IMAGE.digest}"):
        await house.hosting.hosted.delete_blob(TEAM, LAYER)

    assert (await house.hosting.blobs.head(TO_TEAM, LAYER)).size == 1000


async def test_a_blob_goes_from_its_repository_alone(house: House) -> None:
    elsewhere = Repository(None, RepositoryName("another/team/app"))
    await house.push(elsewhere, "latest", IMAGE)
    await house.hosting.blobs.head(TO_TEAM, LAYER)
    await house.hosting.hosted.delete_manifest(TEAM, digest(IMAGE))

    await house.hosting.hosted.delete_blob(TEAM, LAYER)

    with pytest.raises(BlobUnknown):
        await house.hosting.blobs.head(TO_TEAM, LAYER)
    with pytest.raises(BlobUnknown):
        await house.hosting.blobs.get(TO_TEAM, LAYER)
    with pytest.raises(ContentMissing):
        await house.put(TEAM, "latest", IMAGE)
    await house.put(elsewhere, "again", IMAGE)


async def test_the_last_manifest_takes_the_name_with_it(house: House) -> None:
    await house.hosting.hosted.delete_manifest(TEAM, digest(IMAGE))
    assert house.hosting.names.knows(TEAM)

    await house.hosting.hosted.delete_manifest(TEAM, digest(OTHER))

    assert not house.hosting.names.knows(TEAM)
    with pytest.raises(NameUnknown):
        await tags(house)
    with pytest.raises(NameUnknown):
        await house.hosting.manifests.get(TO_TEAM, digest(OTHER))


async def test_a_name_that_is_pushed_to_meanwhile_stays(house: House) -> None:
    await house.hosting.hosted.delete_manifest(TEAM, digest(OTHER))

    await asyncio.gather(
        house.hosting.hosted.delete_manifest(TEAM, digest(IMAGE)),
        house.put(TEAM, "new", make_index([])),
    )

    assert house.hosting.names.knows(TEAM)
    assert await tags(house) == ["new"]


async def test_a_pull_during_a_delete_is_whole_or_refused(house: House) -> None:
    async def pull() -> bytes | None:
        try:
            answer = await house.hosting.manifests.resolve(TO_TEAM, LATEST, content=True)
        except OCIError:
            return None
        return answer.content

    pulls = [asyncio.create_task(pull()) for _ in range(5)]
    deleting = asyncio.create_task(house.hosting.hosted.delete_manifest(TEAM, digest(IMAGE)))
    pulls += [asyncio.create_task(pull()) for _ in range(5)]
    found = set(await asyncio.gather(*pulls))
    await deleting

    assert found <= {IMAGE.content, None}
    assert await pull() is None
