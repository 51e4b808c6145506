"""Whose name it is: what is hosted never leads to an upstream, and what only may be hosted does."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from mirror.oci.digest import parse_digest
from mirror.oci.errors import BlobUnknown, Denied, ManifestUnknown, NameUnknown, OCIError
from mirror.oci.page import Page
from mirror.oci.reference import RepositoryName, Tag
from mirror.ports.repository import Repository
from mirror.registry.hosted import ContentMissing
from mirror.registry.hosted_names import HostedNames
from mirror.registry.routing import Approach, Route
from mirror.registry.statistics import Result
from tests.registry.hosting_bench import (
    IMAGE,
    LATEST,
    LAYER,
    LENDER,
    NGINX,
    OTHER,
    TEAM,
    TO_NGINX,
    TO_TEAM,
    House,
    InterruptedFacts,
    build,
    digest,
)
from tests.registry.reading import fetch
from tests.registry.workbench import fills_ended, memory_ground
from tests.simulated_hub import blob, make_image, make_index

ALL = Page(None, None)
TO_HUB = Route(LENDER, Approach.MIRROR)
UPSTREAM = "library/nginx"


@pytest.fixture
def facts() -> InterruptedFacts:
    return InterruptedFacts()


@pytest.fixture
async def house(facts: InterruptedFacts) -> AsyncIterator[House]:
    """The hub has the same name with something else in it."""
    house = build(ground=replace(memory_ground(), facts=facts))
    house.hub.push(UPSTREAM, "latest", OTHER)
    house.hub.push("team/group/app", "latest", OTHER)
    yield house
    await house.close()


@pytest.mark.parametrize("route", [TO_NGINX, TO_TEAM])
async def test_a_hosted_name_never_asks_an_upstream(house: House, route: Route) -> None:
    await house.push(route.repository, "latest", IMAGE)
    hosting, absent = house.hosting, digest(OTHER)

    assert (await hosting.manifests.resolve(route, LATEST, content=True)).content == IMAGE.content
    assert (await hosting.tags.list(route, ALL)).tags == (LATEST,)
    assert (await hosting.referrers.list(route, absent, None, ALL)).referrers == ()
    layer = parse_digest(OTHER.layers[0])
    for attempt in (
        hosting.manifests.resolve(route, Tag("absent"), content=True),
        hosting.manifests.get(route, absent),
        hosting.blobs.get(route, layer),
        hosting.blobs.head(route, layer),
        hosting.blobs.size(route, layer),
    ):
        with pytest.raises((ManifestUnknown, BlobUnknown)):
            await attempt

    assert house.hub.asked == []


async def test_an_unknown_name_of_three_components_asks_nobody(house: House) -> None:
    hosting = house.hosting
    for attempt in (
        hosting.manifests.resolve(TO_TEAM, LATEST, content=True),
        hosting.manifests.get(TO_TEAM, digest(OTHER)),
        hosting.tags.list(TO_TEAM, ALL),
    ):
        with pytest.raises(NameUnknown):
            await attempt
    with pytest.raises(BlobUnknown):
        await hosting.blobs.get(TO_TEAM, LAYER)
    assert (await hosting.referrers.list(TO_TEAM, digest(OTHER), None, ALL)).referrers == ()
    assert house.hub.asked == []


async def test_an_unknown_name_of_one_component_is_pulled_from_the_default_upstream(
    house: House,
) -> None:
    for _ in ("brought", "remembered"):
        answer = await house.hosting.manifests.resolve(TO_NGINX, LATEST, content=True)
    peeked = house.hosting.manifests.peek(TO_NGINX, LATEST)

    assert answer.content == OTHER.content
    assert answer.repository == LENDER
    assert peeked is not None
    assert peeked.handling.result is Result.HIT
    layer = parse_digest(OTHER.layers[0])
    assert await fetch(house.hosting.blobs, TO_NGINX, layer) == OTHER.blobs[str(layer)]
    await fills_ended()
    assert (await house.hosting.tags.list(TO_NGINX, ALL)).tags == (LATEST,)


async def test_a_push_takes_the_name_and_a_delete_gives_it_back(house: House) -> None:
    for _ in ("brought", "remembered"):
        await house.hosting.manifests.resolve(TO_NGINX, LATEST, content=True)
    await house.push(NGINX, "latest", IMAGE)
    assert house.hosting.manifests.peek(TO_NGINX, LATEST) is None
    answer = await house.hosting.manifests.resolve(TO_NGINX, LATEST, content=True)
    assert (answer.content, answer.handling.result) == (IMAGE.content, Result.HOSTED)
    assert house.hosting.manifests.peek(TO_NGINX, LATEST) == answer

    await house.hosting.hosted.delete_manifest(NGINX, digest(IMAGE))

    answer = await house.hosting.manifests.resolve(TO_NGINX, LATEST, content=True)
    assert answer.content == OTHER.content


async def test_what_is_kept_out_is_refused_and_may_be_hosted(house: House) -> None:
    route = replace(TO_NGINX, fallback=None, kept_out="no nginx for you")
    assert house.hosting.manifests.peek(route, LATEST) is None
    with pytest.raises(Denied, match="no nginx"):
        await house.hosting.manifests.resolve(route, LATEST, content=True)
    with pytest.raises(BlobUnknown):
        await house.hosting.blobs.head(route, LAYER)

    await house.push(NGINX, "latest", IMAGE)

    answer = await house.hosting.manifests.resolve(route, LATEST, content=True)
    assert answer.content == IMAGE.content


# docker tag nginx registry/nginx && docker push registry/nginx, after pulling nginx through here.


async def pull(house: House) -> None:
    manifest = await house.hosting.manifests.resolve(TO_HUB, LATEST, content=True)
    assert manifest.content == OTHER.content
    for text in OTHER.blobs:
        await fetch(house.hosting.blobs, TO_HUB, parse_digest(text))
    await fills_ended()


async def test_a_blob_that_only_the_upstream_has_is_not_promised(house: House) -> None:
    for text in OTHER.blobs:
        with pytest.raises(BlobUnknown):
            await house.hosting.blobs.head(TO_NGINX, parse_digest(text))
    assert house.hub.asked == []


async def test_blobs_that_were_pulled_are_promised_and_taken_over(house: House) -> None:
    await pull(house)
    for text in OTHER.blobs:
        head = await house.hosting.blobs.head(TO_NGINX, parse_digest(text))
        assert head.handling.result is Result.HIT
    house.hub.asked.clear()

    with pytest.raises(ContentMissing):
        await house.put(NGINX, "mine", OTHER)
    await house.put(NGINX, "mine", OTHER, lender=LENDER)

    answer = await house.hosting.manifests.resolve(TO_NGINX, Tag("mine"), content=True)
    assert answer.content == OTHER.content
    for text, content in OTHER.blobs.items():
        assert await fetch(house.hosting.blobs, TO_NGINX, parse_digest(text)) == content
    assert house.hub.asked == []


async def test_a_blob_of_another_repository_is_not_promised(house: House) -> None:
    await house.push(TEAM, "latest", IMAGE)
    with pytest.raises(BlobUnknown):
        await house.hosting.blobs.head(TO_NGINX, LAYER)


async def test_once_the_name_is_taken_the_lender_is_not_looked_at(house: House) -> None:
    await pull(house)
    await house.push(NGINX, "latest", IMAGE)
    with pytest.raises(BlobUnknown):
        await house.hosting.blobs.head(TO_NGINX, parse_digest(OTHER.layers[0]))


async def test_children_that_were_pulled_are_taken_over(house: House) -> None:
    arm = make_image(layers=[blob("arm", 10)], architecture="arm64")
    index = make_index([OTHER, make_index([arm])])
    house.hub.push(UPSTREAM, "all", index)
    await pull(house)
    for manifest in (index, *index.images, arm):
        await house.hosting.manifests.get(TO_HUB, digest(manifest))

    with pytest.raises(ContentMissing) as caught:
        await house.put(NGINX, "all", index, lender=LENDER)
    assert {str(error.message).split()[1] for error in caught.value.errors} == set(arm.blobs)
    for text in arm.blobs:
        await fetch(house.hosting.blobs, TO_HUB, parse_digest(text))
    await fills_ended()
    house.hub.asked.clear()
    await house.put(NGINX, "all", index, lender=LENDER)

    for manifest in (index, *index.images, arm):
        answer = await house.hosting.manifests.get(TO_NGINX, digest(manifest))
        assert (answer.repository, answer.content) == (NGINX, manifest.content)
    assert house.hub.asked == []


# What is known.


async def test_names_survive_a_restart(house: House) -> None:
    repositories = [Repository(None, RepositoryName(f"a/b/{number}")) for number in range(3)]
    for repository in (*repositories, NGINX):
        await house.push(repository, "latest", IMAGE)
    await house.hosting.manifests.resolve(TO_HUB, LATEST, content=True)

    again = HostedNames(house.bench.facts)
    await again.load()

    for repository in (*repositories, NGINX):
        assert again.knows(repository)
    assert not again.knows(LENDER)
    assert not again.knows(TEAM)


@pytest.mark.parametrize(
    "neighbour", ["ngin", "nginw", "nginw9", "nginw/z/z", "nginxa", "nginx-a", "nginx/a/b", "nginy"]
)
async def test_neighbours_are_not_mistaken_for_a_name(house: House, neighbour: str) -> None:
    await house.push(Repository(None, RepositoryName(neighbour)), "latest", IMAGE)
    await house.push(NGINX, "latest", IMAGE)
    await house.hosting.names.drop_if_empty(NGINX)
    assert house.hosting.names.knows(NGINX)

    await house.hosting.hosted.delete_manifest(NGINX, digest(IMAGE))

    assert not house.hosting.names.knows(NGINX)
    assert house.hosting.names.knows(Repository(None, RepositoryName(neighbour)))


async def test_a_name_is_not_dropped_that_was_pushed_to_while_it_was_looked_for(
    house: House, facts: InterruptedFacts
) -> None:
    await house.push(NGINX, "latest", IMAGE)
    facts.after_listing = lambda: house.put(NGINX, "new", make_index([]))

    await house.hosting.hosted.delete_manifest(NGINX, digest(IMAGE))

    assert house.hosting.names.knows(NGINX)
    answer = await house.hosting.manifests.resolve(TO_NGINX, Tag("new"), content=True)
    assert answer.repository == NGINX


async def test_an_answer_is_an_error_and_not_an_upstreams(house: House) -> None:
    """Even when the same tag is there and the name lost its last manifest a moment ago."""
    await house.push(TEAM, "latest", IMAGE)
    await house.hosting.hosted.delete_manifest(TEAM, digest(IMAGE))
    with pytest.raises(OCIError):
        await house.hosting.manifests.resolve(TO_TEAM, LATEST, content=True)
    assert house.hub.asked == []
