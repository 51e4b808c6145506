"""Tags that an operator holds in place."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from mirror.oci.errors import Denied
from mirror.oci.reference import RepositoryName, Tag
from mirror.ports.repository import Repository
from mirror.registry.glob import Glob
from mirror.registry.hosted import Acceptance, PushedManifest
from mirror.registry.immutable import ImmutableTags
from tests.registry.hosting_bench import (
    IMAGE,
    OTHER,
    TEAM,
    TO_TEAM,
    House,
    InterruptedFacts,
    build,
    digest,
)
from tests.registry.workbench import memory_ground, settle

PATTERN = "team/**:v*"


@pytest.fixture
def facts() -> InterruptedFacts:
    return InterruptedFacts()


@pytest.fixture
async def house(facts: InterruptedFacts) -> AsyncIterator[House]:
    house = build(immutable=[PATTERN], ground=replace(memory_ground(), facts=facts))
    await house.push(TEAM, "v1", IMAGE)
    await house.push(TEAM, "latest", IMAGE)
    await house.put_blobs(TEAM, OTHER.blobs)
    yield house
    await house.close()


async def points_at(house: House, tag: str) -> str:
    answer = await house.hosting.manifests.resolve(TO_TEAM, Tag(tag), content=False)
    return str(answer.descriptor.digest)


async def test_it_cannot_be_moved_and_nothing_else_happens(house: House) -> None:
    with pytest.raises(Denied, match=r"team/group/app:v1 cannot be moved, team/\*\*:v\*") as caught:
        await house.put(TEAM, "v1", OTHER)

    assert (caught.value.status, caught.value.code) == (403, "DENIED")
    assert await points_at(house, "v1") == IMAGE.digest
    assert await house.bench.facts.get_manifest(TEAM, digest(OTHER)) is None


async def test_the_same_again_is_fine(house: House) -> None:
    await house.put(TEAM, "v1", IMAGE)
    assert await points_at(house, "v1") == IMAGE.digest


async def test_one_immovable_tag_holds_the_whole_push(house: House) -> None:
    tags = (Tag("new"), Tag("v1"))
    pushed = PushedManifest(TEAM, digest(OTHER), OTHER.content, OTHER.media_type, tags)
    with pytest.raises(Denied):
        await house.hosting.hosted.push(pushed)
    assert await house.bench.facts.get_tag(TEAM, Tag("new")) is None


async def test_other_tags_move(house: House) -> None:
    await house.put(TEAM, "latest", OTHER)
    assert await points_at(house, "latest") == OTHER.digest
    await house.push(Repository(None, RepositoryName("other/group/app")), "v1", IMAGE)
    await house.push(Repository(None, RepositoryName("other/group/app")), "v1", OTHER)


async def test_it_cannot_be_deleted_nor_what_it_names(house: House) -> None:
    with pytest.raises(Denied, match=r"v1 cannot be deleted, .* holds it: change that first"):
        await house.hosting.hosted.delete_tag(TEAM, Tag("v1"))
    with pytest.raises(Denied, match="v1 cannot be deleted"):
        await house.hosting.hosted.delete_manifest(TEAM, digest(IMAGE))

    assert await points_at(house, "v1") == IMAGE.digest
    assert await points_at(house, "latest") == IMAGE.digest


async def test_what_no_immutable_tag_names_can_be_deleted(house: House) -> None:
    await house.put(TEAM, "latest", OTHER)
    await house.hosting.hosted.delete_manifest(TEAM, digest(OTHER))
    await house.put(TEAM, "latest", OTHER)
    await house.hosting.hosted.delete_tag(TEAM, Tag("latest"))


async def test_of_two_at_once_one_is_first(house: House) -> None:
    results = await asyncio.gather(
        house.put(TEAM, "v2", IMAGE), house.put(TEAM, "v2", OTHER), return_exceptions=True
    )
    refusals = [result for result in results if isinstance(result, Denied)]
    assert len(refusals) == 1


async def test_a_manifest_is_not_deleted_under_a_tag_that_comes_meanwhile(
    house: House, facts: InterruptedFacts
) -> None:
    await house.put(TEAM, None, OTHER)
    pushes: list[asyncio.Task[Acceptance]] = []

    async def push() -> None:
        pushes.append(asyncio.create_task(house.put(TEAM, "v2", OTHER)))
        await settle()

    facts.before_removal = push
    await house.hosting.hosted.delete_manifest(TEAM, digest(OTHER))
    await asyncio.gather(*pushes)

    assert await points_at(house, "v2") == OTHER.digest


@pytest.mark.parametrize(
    ("pattern", "name", "tag", "holds"),
    [
        ("*/v*:*", "nginx", "v1", False),
        ("nginx:v*", "nginx", "v1", True),
        ("nginx:v*", "nginx", "latest", False),
        ("*:v*", "a/b/c", "v1", False),
        ("**:v*", "a/b/c", "v1", True),
        ("**:*-rc", "a/b/c", "1.0-rc", True),
    ],
)
def test_patterns_are_over_the_name_and_the_tag(
    pattern: str, name: str, tag: str, *, holds: bool
) -> None:
    tags = ImmutableTags([Glob("nothing:here"), Glob(pattern)])
    found = tags.pattern_for(Repository(None, RepositoryName(name)), Tag(tag))
    assert found == (pattern if holds else None)
    assert tags
    assert not ImmutableTags()
