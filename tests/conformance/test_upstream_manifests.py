"""What every upstream promises about tags and manifests."""

import pytest

from mirror.oci.digest import digest_of
from mirror.oci.manifest import Manifest
from mirror.oci.reference import Tag
from mirror.ports.upstream import UpstreamInvalid
from tests.conformance.upstreams import NAME, NOWHERE, REDIS, World, unless_denied
from tests.simulated_hub import Image, Index, blob, make_image, make_index

IMAGE = make_image(layers=[blob("old", 1000)])
OTHER = make_image(layers=[blob("new", 1000)], docker=True)
INDEX = make_index([IMAGE, OTHER])
LATEST = Tag("latest")
ABSENT = digest_of(b"absent")

each_kind = pytest.mark.parametrize("pushed", [IMAGE, OTHER, INDEX], ids=["oci", "docker", "index"])


@each_kind
async def test_a_tag_is_described(remote_world: World, pushed: Image | Index) -> None:
    manifest = remote_world.push(NAME, "latest", pushed)
    assert await remote_world.upstream.resolve(NAME, LATEST) == manifest.descriptor


@each_kind
async def test_where_a_description_is_not_to_be_had_the_manifest_is(
    remote_world: World, pushed: Image | Index
) -> None:
    manifest = remote_world.push(NAME, "latest", pushed)
    remote_world.describe_nothing()
    assert await remote_world.upstream.resolve(NAME, LATEST) == manifest
    assert await remote_world.upstream.resolve(NAME, Tag("absent")) is None


async def test_a_tag_names_what_it_names_now(remote_world: World) -> None:
    old = remote_world.push(NAME, "latest", IMAGE)
    assert await remote_world.upstream.resolve(NAME, LATEST) == old.descriptor
    new = remote_world.push(NAME, "latest", OTHER)
    assert await remote_world.upstream.resolve(NAME, LATEST) == new.descriptor
    assert await remote_world.upstream.get_manifest(NAME, old.digest) == old


@each_kind
async def test_a_manifest_is_fetched_by_digest(remote_world: World, pushed: Image | Index) -> None:
    manifest = remote_world.push(NAME, None, pushed)
    assert await remote_world.upstream.get_manifest(NAME, manifest.digest) == manifest


async def test_what_is_below_an_index_is_fetched_by_digest(remote_world: World) -> None:
    remote_world.push(NAME, None, INDEX)
    child = await remote_world.upstream.get_manifest(NAME, digest_of(IMAGE.content))
    assert child is not None
    assert child.content == IMAGE.content


async def test_a_manifest_is_fetched_under_the_algorithm_asked_for(remote_world: World) -> None:
    digest = digest_of(IMAGE.content, "sha512")
    manifest = Manifest(IMAGE.media_type, digest, IMAGE.content)
    remote_world.push_manifest(NAME, manifest)
    assert await remote_world.upstream.get_manifest(NAME, digest) == manifest


async def test_what_is_not_there_is_none(remote_world: World) -> None:
    remote_world.push(NAME, "latest", IMAGE)
    assert await remote_world.upstream.resolve(NAME, Tag("absent")) is None
    assert await remote_world.upstream.get_manifest(NAME, ABSENT) is None


async def test_what_another_repository_has_is_none(remote_world: World) -> None:
    manifest = remote_world.push(NAME, "latest", IMAGE)
    remote_world.push(REDIS, "other", OTHER)
    assert await remote_world.upstream.resolve(REDIS, LATEST) is None
    assert await remote_world.upstream.get_manifest(REDIS, manifest.digest) is None


async def test_a_repository_that_is_not_there_has_nothing(remote_world: World) -> None:
    manifest = remote_world.push(NAME, "latest", IMAGE)
    upstream = remote_world.upstream
    assert await unless_denied(upstream.resolve(NOWHERE, LATEST)) is None
    assert await unless_denied(upstream.get_manifest(NOWHERE, manifest.digest)) is None


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_what_has_another_digest_is_never_returned(
    remote_world: World, algorithm: str
) -> None:
    digest = digest_of(OTHER.content, algorithm)
    remote_world.push_manifest(NAME, Manifest(IMAGE.media_type, digest, IMAGE.content))
    with pytest.raises(UpstreamInvalid):
        await remote_world.upstream.get_manifest(NAME, digest)


@pytest.mark.parametrize("content", [b"", b"{}", b"<html>", b'{"schemaVersion": 2}'])
async def test_what_is_no_manifest_is_never_returned(remote_world: World, content: bytes) -> None:
    digest = digest_of(content)
    remote_world.push_manifest(NAME, Manifest("application/json", digest, content))
    with pytest.raises(UpstreamInvalid):
        await remote_world.upstream.get_manifest(NAME, digest)
