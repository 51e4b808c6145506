"""Manifests that are pushed: what is taken, what is refused, and with which words."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from mirror.oci.digest import digest_of, parse_digest
from mirror.oci.errors import Denied, DigestInvalid, ManifestInvalid, OCIError, Unavailable
from mirror.oci.media_type import (
    DOCKER_FOREIGN_LAYER_GZIP,
    OCI_ARTIFACT_MANIFEST,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
)
from mirror.oci.reference import RepositoryName, Tag
from mirror.ports.repository import Repository
from mirror.registry.hosted import ContentMissing, PushedManifest
from tests.registry.hosting_bench import (
    IMAGE,
    LATEST,
    OTHER,
    TEAM,
    TO_TEAM,
    House,
    build,
    digest,
)
from tests.registry.workbench import memory_ground
from tests.simulated_hub import blob, make_image, make_index
from tests.simulated_hub.content import OCI, Image, descriptor, encoded, make_artifact


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = build()
    yield house
    await house.close()


async def pulled(house: House, tag: str = "latest") -> bytes | None:
    answer = await house.hosting.manifests.resolve(TO_TEAM, Tag(tag), content=True)
    return answer.content


async def test_what_was_pushed_is_pulled_byte_for_byte(house: House) -> None:
    acceptance = await house.push(TEAM, "latest", IMAGE)

    answer = await house.hosting.manifests.get(TO_TEAM, digest(IMAGE))
    assert acceptance.descriptor == answer.descriptor
    assert answer.descriptor.media_type == IMAGE.media_type
    assert answer.content == IMAGE.content
    assert await pulled(house) == IMAGE.content


@pytest.mark.parametrize("docker", [False, True])
async def test_every_kind_is_taken(house: House, *, docker: bool) -> None:
    image = make_image(layers=[b"layer"], docker=docker)
    nested = make_index([image, make_index([image], docker=docker)], docker=docker)

    await house.push(TEAM, "image", image)
    await house.push(TEAM, None, nested.images[1])
    await house.put(TEAM, "index", nested)
    await house.push(TEAM, "none", make_image(layers=[], docker=docker))
    await house.put(TEAM, "empty", make_index([], docker=docker))

    for tag in ("image", "index", "none", "empty"):
        assert await pulled(house, tag) is not None


@pytest.mark.parametrize("docker", [False, True])
async def test_a_build_cache_is_taken(house: House, *, docker: bool) -> None:
    """BuildKit lists layers in an index; they are blobs, and are needed as such."""
    parts = {OCI_LAYER_GZIP: b"a layer", "application/vnd.buildkit.cacheconfig.v0": b"{}"}
    listed = [descriptor(content, media_type) for media_type, content in parts.items()]
    cache = make_index([], docker=docker)
    content = encoded({**json.loads(cache.content), "manifests": listed})
    pushed = PushedManifest(TEAM, LATEST, content, cache.media_type)

    with pytest.raises(ContentMissing) as missing:
        await house.hosting.hosted.push(pushed)
    assert [error.message.split()[0] for error in missing.value.errors] == ["blob", "blob"]

    blobs = {str(each["digest"]): part for each, part in zip(listed, parts.values(), strict=True)}
    await house.put_blobs(TEAM, blobs)
    await house.hosting.hosted.push(pushed)
    assert await pulled(house) == content
    for needed in blobs:
        with pytest.raises(Denied, match="is needed by"):
            await house.hosting.hosted.delete_blob(TEAM, parse_digest(needed))


async def test_an_artifact_of_the_abandoned_kind_is_taken(house: House) -> None:
    content = encoded({"mediaType": OCI_ARTIFACT_MANIFEST, "artifactType": "a/b", "blobs": []})
    pushed = PushedManifest(TEAM, LATEST, content, OCI_ARTIFACT_MANIFEST)

    await house.hosting.hosted.push(pushed)

    assert await pulled(house) == content


async def test_schema_1_is_refused(house: House) -> None:
    kind = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    content = encoded({"schemaVersion": 1, "fsLayers": [], "signatures": [{}]})

    with pytest.raises(ManifestInvalid, match="retired"):
        await house.hosting.hosted.push(PushedManifest(TEAM, LATEST, content, kind))


async def test_the_largest_manifest_is_taken(house: House) -> None:
    shell = {**_document(IMAGE), "annotations": {"a": ""}}
    room = 4_194_304 - len(encoded(shell))
    content = encoded({**shell, "annotations": {"a": "x" * room}})
    assert len(content) == 4_194_304
    await house.put_blobs(TEAM, IMAGE.blobs)

    await house.hosting.hosted.push(PushedManifest(TEAM, LATEST, content, OCI_MANIFEST))

    assert await pulled(house) == content
    with pytest.raises(ManifestInvalid, match="larger"):
        await house.hosting.hosted.push(PushedManifest(TEAM, LATEST, content + b" ", OCI_MANIFEST))


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_a_digest_must_be_that_of_the_content(house: House, algorithm: str) -> None:
    await house.put_blobs(TEAM, IMAGE.blobs)
    right = digest_of(IMAGE.content, algorithm)
    wrong = digest_of(OTHER.content, algorithm)
    pushed = PushedManifest(TEAM, wrong, IMAGE.content, IMAGE.media_type)

    with pytest.raises(DigestInvalid, match=str(right)):
        await house.hosting.hosted.push(pushed)
    assert not house.hosting.names.knows(TEAM)
    assert not house.bench.has(wrong)

    acceptance = await house.hosting.hosted.push(replace(pushed, reference=right, tags=(LATEST,)))
    assert acceptance.descriptor.digest == right
    answer = await house.hosting.manifests.resolve(TO_TEAM, LATEST, content=True)
    assert (answer.descriptor.digest, answer.content) == (right, IMAGE.content)


async def test_what_is_missing_is_told_one_by_one(house: House) -> None:
    with pytest.raises(ContentMissing) as caught:
        await house.put(TEAM, "latest", IMAGE)

    missing = [IMAGE.config, *IMAGE.layers]
    assert sorted(_digests(caught.value)) == sorted(missing)
    for error in caught.value.errors:
        assert (error.status, error.code) == (400, "MANIFEST_BLOB_UNKNOWN")
        assert "team/group/app: push it first" in error.message
    assert not house.hosting.names.knows(TEAM)
    with pytest.raises(OCIError):
        await pulled(house)


async def test_a_missing_child_is_called_a_manifest(house: House) -> None:
    with pytest.raises(ContentMissing) as caught:
        await house.put(TEAM, "latest", make_index([IMAGE]))

    (error,) = caught.value.errors
    assert error.message.startswith(f"manifest {IMAGE.digest} is not in")


async def test_possession_is_not_permission(house: House) -> None:
    other = Repository(None, RepositoryName("team/secret/app"))
    await house.push(other, "latest", IMAGE)

    with pytest.raises(ContentMissing):
        await house.put(TEAM, "latest", IMAGE)
    with pytest.raises(ContentMissing):
        await house.put(TEAM, "latest", make_index([IMAGE]))


async def test_foreign_layers_and_subjects_need_not_be_here(house: House) -> None:
    foreign = {"mediaType": DOCKER_FOREIGN_LAYER_GZIP, "digest": OTHER.digest, "size": 7}
    content = encoded({**_document(IMAGE), "layers": [foreign]})
    await house.put_blobs(TEAM, IMAGE.blobs)
    await house.hosting.hosted.push(PushedManifest(TEAM, LATEST, content, OCI_MANIFEST))

    note = make_artifact(OTHER, b"note")
    acceptance = await house.push(TEAM, None, note)

    assert acceptance.subject == digest(OTHER)


async def test_a_push_by_tag_has_no_subject_where_there_is_none(house: House) -> None:
    assert (await house.push(TEAM, "latest", IMAGE)).subject is None


@pytest.mark.parametrize(
    ("content", "content_type", "words"),
    [
        (b"nonsense", OCI_MANIFEST, "not a JSON object"),
        (b'{"schemaVersion":2}', None, "neither the Content-Type"),
        (IMAGE.content, "application/vnd.oci.image.index.v1+json", "the mediaType"),
        (IMAGE.content.replace(b'"schemaVersion": 2', b'"schemaVersion": 1'), None, "must be 2"),
        (IMAGE.content.replace(b"sha256:", b"md5:"), None, "digest algorithm 'md5'"),
        (IMAGE.content.replace(b'"size": ', b'"size": -'), None, "needs a mediaType"),
    ],
)
async def test_what_is_no_manifest_is_refused(
    house: House, content: bytes, content_type: str | None, words: str
) -> None:
    await house.put_blobs(TEAM, IMAGE.blobs)

    with pytest.raises(ManifestInvalid, match=words):
        await house.hosting.hosted.push(PushedManifest(TEAM, LATEST, content, content_type))


@pytest.mark.parametrize("content_type", [None, "application/json", f"{OCI_MANIFEST}; charset=x"])
async def test_the_type_is_that_of_the_body_where_none_is_given(
    house: House, content_type: str | None
) -> None:
    await house.put_blobs(TEAM, IMAGE.blobs)
    pushed = PushedManifest(TEAM, LATEST, IMAGE.content, content_type)

    acceptance = await house.hosting.hosted.push(pushed)

    assert acceptance.descriptor.media_type == OCI_MANIFEST


async def test_two_pushes_of_a_tag_at_once_leave_one_of_them(house: House) -> None:
    images = [make_image(layers=[blob(number, 100)]) for number in range(8)]
    for image in images:
        await house.put_blobs(TEAM, image.blobs)

    await asyncio.gather(*(house.put(TEAM, "latest", image) for image in images))

    assert await pulled(house) in {image.content for image in images}
    for image in images:
        assert (await house.hosting.manifests.get(TO_TEAM, digest(image))).content == image.content


async def test_pushing_again_is_no_change(house: House) -> None:
    first = await house.push(TEAM, "latest", IMAGE)
    assert await house.push(TEAM, "latest", IMAGE) == first
    assert await pulled(house) == IMAGE.content


async def test_a_full_disk_is_told_and_nothing_is_there() -> None:
    house = build(ground=memory_ground(capacity=3_000))
    await house.put_blobs(TEAM, IMAGE.blobs)
    content = encoded({**_document(IMAGE), "annotations": {"a": "x" * 3_000}})

    with pytest.raises(Unavailable, match="no room") as caught:
        await house.hosting.hosted.push(PushedManifest(TEAM, LATEST, content, OCI_MANIFEST))

    assert caught.value.retry_after is not None
    assert not house.hosting.names.knows(TEAM)
    await house.close()


def _document(image: Image) -> dict[str, object]:
    return {
        "schemaVersion": 2,
        "mediaType": OCI.manifest,
        "config": {
            "mediaType": OCI.config,
            "digest": image.config,
            "size": len(image.blobs[image.config]),
        },
        "layers": [],
    }


def _digests(missing: ContentMissing) -> list[str]:
    details = [error.detail for error in missing.errors]
    found = [str(detail["digest"]) for detail in details if isinstance(detail, dict)]
    return [str(parse_digest(text)) for text in found]
