"""What every upstream promises about lists of tags and of referrers."""

import json

import pytest

from mirror.oci.digest import digest_of
from mirror.oci.reference import Tag
from tests.conformance.upstreams import NAME, NOWHERE, REDIS, World, unless_denied
from tests.simulated_hub import blob, make_artifact, make_image

IMAGE = make_image(layers=[blob("layer", 1000)])
OTHER = make_image(layers=[blob("other", 1000)])
SIGNATURE = make_artifact(IMAGE, b"signature", "application/vnd.example.signature")
SBOM = make_artifact(IMAGE, b"sbom", "application/vnd.example.sbom")


@pytest.mark.parametrize("count", [0, 1, 1000, 1001])
async def test_every_tag_is_listed_in_order(remote_world: World, count: int) -> None:
    expected = [f"v{number:05}" for number in range(count)]
    remote_world.push(NAME, None, IMAGE)
    for tag in expected:
        remote_world.push(NAME, tag, IMAGE)
    assert await remote_world.upstream.list_tags(NAME) == tuple(map(Tag, expected))


async def test_tags_of_other_repositories_are_not_listed(remote_world: World) -> None:
    remote_world.push(NAME, "latest", IMAGE)
    remote_world.push(REDIS, "other", IMAGE)
    assert await remote_world.upstream.list_tags(REDIS) == (Tag("other"),)


async def test_every_referrer_is_listed_in_order(remote_world: World) -> None:
    subject = remote_world.push(NAME, "latest", IMAGE)
    pushed = [remote_world.push(NAME, None, referrer) for referrer in (SIGNATURE, SBOM)]
    referrers = await remote_world.upstream.list_referrers(NAME, subject.digest)
    assert referrers is not None
    assert [referrer.digest for referrer in referrers] == [each.digest for each in pushed]
    assert [referrer.artifact_type for referrer in referrers] == [
        "application/vnd.example.signature",
        "application/vnd.example.sbom",
    ]
    entries = [json.loads(referrer.content) for referrer in referrers]
    assert [entry["digest"] for entry in entries] == [str(each.digest) for each in pushed]


async def test_what_nothing_refers_to_has_an_empty_list(remote_world: World) -> None:
    subject = remote_world.push(NAME, "latest", IMAGE)
    other = remote_world.push(NAME, None, OTHER)
    remote_world.push(NAME, None, SIGNATURE)
    for digest in (other.digest, digest_of(b"absent")):
        assert await remote_world.upstream.list_referrers(NAME, digest) == ()
    remote_world.push(REDIS, None, OTHER)
    assert await remote_world.upstream.list_referrers(REDIS, subject.digest) == ()


async def test_a_registry_that_lists_no_referrers_is_not_one_without_any(
    remote_world: World,
) -> None:
    subject = remote_world.push(NAME, "latest", IMAGE)
    remote_world.push(NAME, None, SIGNATURE)
    remote_world.list_no_referrers()
    assert await remote_world.upstream.list_referrers(NAME, subject.digest) is None


async def test_a_repository_that_is_not_there_has_no_lists(remote_world: World) -> None:
    subject = remote_world.push(NAME, "latest", IMAGE)
    upstream = remote_world.upstream
    assert await unless_denied(upstream.list_tags(NOWHERE)) is None
    assert await unless_denied(upstream.list_referrers(NOWHERE, subject.digest)) is None
