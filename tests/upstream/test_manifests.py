"""Asking for manifests over HTTP: HEAD for tags, GET by digest, and answers that lie.

What every upstream promises is in ``tests/conformance``.
"""

import gzip
import tracemalloc

import pytest

from mirror.oci.digest import digest_of, parse_digest
from mirror.oci.manifest import MANIFEST_LIMIT, Descriptor, Manifest
from mirror.oci.media_type import ACCEPTED, OCI_MANIFEST, SCHEMA1_SIGNED
from mirror.oci.reference import RepositoryName, Tag
from mirror.ports.upstream import Upstream, UpstreamInvalid, UpstreamUnreachable
from tests.simulated_hub import Fault, Image
from tests.simulated_hub.faults import Kind
from tests.upstream.world import LATEST, NAME, World, manifest_digest, push_image

SCHEMA1 = b"""{
   "schemaVersion": 1, "name": "library/nginx", "tag": "latest", "architecture": "amd64",
   "fsLayers": [], "history": [], "signatures": [{"protected": "e30"}]
}"""


def descriptor_of(image: Image) -> Descriptor:
    return Descriptor(image.media_type, manifest_digest(image), image.size)


def manifest_of(image: Image) -> Manifest:
    return Manifest(image.media_type, manifest_digest(image), image.content)


async def test_a_tag_is_resolved_by_a_head_with_every_type_we_can_take(world: World) -> None:
    image = push_image(world.hub)
    upstream: Upstream = world.upstream()
    assert await upstream.resolve(NAME, LATEST) == descriptor_of(image)
    (asked,) = world.hub.find("manifest")
    assert asked.method == "HEAD"
    assert asked.headers.getall("Accept") == [ACCEPTED]
    assert asked.headers["Accept-Encoding"] == "identity"
    assert asked.headers["User-Agent"].startswith("mirror/")


async def test_without_logins_a_repository_that_is_not_there_is_none(world: World) -> None:
    world.hub.tokens.mode = "none"
    absent = digest_of(b"absent")
    assert await world.upstream().get_manifest(RepositoryName("no/such"), absent) is None


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("no_digest_header", None),
        ("no_length_header", None),
        ("wrong_type", None),
        ("gzip", None),
        ("html", None),
        ("status", 400),
        ("status", 403),
        ("status", 405),
        ("status", 501),
    ],
)
async def test_a_head_that_does_not_tell_is_followed_by_a_get(
    world: World, kind: Kind, status: int | None
) -> None:
    image = push_image(world.hub)
    world.hub.faults.add(Fault(route="manifest", method="HEAD", kind=kind, status=status))
    assert await world.upstream().resolve(NAME, LATEST) == manifest_of(image)
    assert [each.method for each in world.hub.find("manifest")] == ["HEAD", "GET"]


async def test_the_get_may_say_that_there_is_nothing(world: World) -> None:
    push_image(world.hub)
    world.hub.faults.add(Fault(route="manifest", method="HEAD", kind="status", status=405))
    assert await world.upstream().resolve(NAME, Tag("absent")) is None


async def test_by_tag_a_missing_digest_header_is_fine_and_a_wrong_one_is_not(world: World) -> None:
    image = push_image(world.hub)
    world.hub.faults.add(Fault(route="manifest", kind="no_digest_header", times=2))
    upstream = world.upstream()
    assert await upstream.resolve(NAME, LATEST) == manifest_of(image)
    world.hub.faults.add(Fault(route="manifest", method="HEAD", kind="no_digest_header"))
    world.hub.faults.add(Fault(route="manifest", method="GET", kind="wrong_digest_header"))
    with pytest.raises(UpstreamInvalid, match="damaged on the way"):
        await upstream.resolve(NAME, LATEST)


async def test_by_digest_the_header_is_not_believed(world: World) -> None:
    image = push_image(world.hub)
    world.hub.faults.add(Fault(route="manifest", kind="wrong_digest_header"))
    fetched = await world.upstream().get_manifest(NAME, manifest_digest(image))
    assert fetched == manifest_of(image)


@pytest.mark.parametrize(
    "kind", ["flip", "pad", "truncate", "html", "short_length", "partial_uninvited", "garbage"]
)
async def test_a_manifest_that_is_not_the_one_asked_for_is_never_returned(
    world: World, kind: Kind
) -> None:
    image = push_image(world.hub)
    world.hub.faults.add(Fault(route="manifest", kind=kind))
    with pytest.raises(UpstreamInvalid) as caught:
        await world.upstream().get_manifest(NAME, manifest_digest(image))
    assert "Wi-Fi" not in str(caught.value)
    assert world.hub.count("manifest") == 1


@pytest.mark.parametrize("kind", ["duplicate_length", "length_and_chunked", "bad_chunk"])
async def test_improper_http_is_refused(world: World, kind: Kind) -> None:
    image = push_image(world.hub)
    world.hub.faults.add(Fault(route="manifest", kind=kind))
    with pytest.raises((UpstreamInvalid, UpstreamUnreachable)):
        await world.upstream().get_manifest(NAME, manifest_digest(image))


@pytest.mark.parametrize("kind", ["long_length", "unterminated_chunks"])
async def test_a_manifest_that_ends_early_is_asked_for_again(world: World, kind: Kind) -> None:
    image = push_image(world.hub)
    world.hub.faults.add(Fault(route="manifest", kind=kind, times=2))
    fetched = await world.upstream().get_manifest(NAME, manifest_digest(image))
    assert fetched == manifest_of(image)
    assert world.hub.count("manifest") == 3


@pytest.mark.parametrize("kind", ["no_length", "chunked"])
async def test_a_manifest_needs_no_length(world: World, kind: Kind) -> None:
    image = push_image(world.hub)
    world.hub.faults.add(Fault(route="manifest", kind=kind))
    fetched = await world.upstream().get_manifest(NAME, manifest_digest(image))
    assert fetched == manifest_of(image)


async def test_the_largest_manifest_passes_and_one_byte_more_does_not(world: World) -> None:
    image = push_image(world.hub)
    largest = image.content + b" " * (MANIFEST_LIMIT - len(image.content))
    upstream = world.upstream()
    for content, passes in ((largest, True), (largest + b" ", False)):
        digest = parse_digest(world.hub.push_manifest(str(NAME), None, content, OCI_MANIFEST))
        if passes:
            fetched = await upstream.get_manifest(NAME, digest)
            assert fetched is not None
            assert fetched.content == content
        else:
            with pytest.raises(UpstreamInvalid, match="more than 4194304 bytes"):
                await upstream.get_manifest(NAME, digest)


async def test_a_manifest_without_end_is_not_read_to_the_end(world: World) -> None:
    image = push_image(world.hub)
    world.hub.faults.add(Fault(route="manifest", kind="endless"))
    with pytest.raises(UpstreamInvalid, match="more than 4194304 bytes"):
        await world.upstream().get_manifest(NAME, manifest_digest(image))


async def test_a_packed_answer_is_unpacked_because_its_digest_is_that_of_the_plain_one(
    world: World,
) -> None:
    image = push_image(world.hub)
    world.hub.faults.add(Fault(route="manifest", kind="gzip"))
    upstream = world.upstream()
    assert await upstream.get_manifest(NAME, manifest_digest(image)) == manifest_of(image)
    assert await upstream.resolve(NAME, LATEST) == manifest_of(image)


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity", "gzip, gzip", "nonsense"])
async def test_an_encoding_that_is_not_one_is_seen_through(world: World, encoding: str) -> None:
    image = push_image(world.hub)
    world.hub.faults.add(
        Fault(route="manifest", kind="chunked", headers=(("Content-Encoding", encoding),))
    )
    fetched = await world.upstream().get_manifest(NAME, manifest_digest(image))
    assert fetched == manifest_of(image)


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(b" " * (MANIFEST_LIMIT + 1)),
        gzip.compress(b"\0" * (64 * MANIFEST_LIMIT)),
        gzip.compress(b"") * 10_000,
        gzip.compress(b"{}") + b"trailing",
        gzip.compress(b"{}")[:-4],
        b"\x1f\x8b",
    ],
    ids=["too large", "bomb", "members", "trailing", "cut", "magic"],
)
async def test_a_bomb_does_not_go_off(world: World, body: bytes) -> None:
    image = push_image(world.hub)
    headers = (("Content-Encoding", "gzip"), ("Content-Type", OCI_MANIFEST))
    world.hub.faults.add(Fault(route="manifest", kind="html", body=body, headers=headers))
    upstream = world.upstream()
    await upstream.head_blob(NAME, manifest_digest(image))
    tracemalloc.start()
    try:
        with pytest.raises(UpstreamInvalid):
            await upstream.get_manifest(NAME, manifest_digest(image))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MANIFEST_LIMIT


@pytest.mark.parametrize(
    "damage", [b"trailing", gzip.compress(b"another member")], ids=["trailing", "member"]
)
async def test_what_follows_a_packed_manifest_is_not_cut_off(world: World, damage: bytes) -> None:
    image = push_image(world.hub)
    packed = gzip.compress(image.content) + damage
    headers = (("Content-Encoding", "gzip"), ("Content-Type", OCI_MANIFEST))
    world.hub.faults.add(Fault(route="manifest", kind="html", body=packed, headers=headers))
    with pytest.raises(UpstreamInvalid, match="no manifest"):
        await world.upstream().resolve(NAME, LATEST)


async def test_the_content_type_may_be_wanting_but_not_wrong(world: World) -> None:
    image = push_image(world.hub)
    world.hub.faults.add(Fault(route="manifest", kind="wrong_type", times=1))
    upstream = world.upstream()
    assert await upstream.get_manifest(NAME, manifest_digest(image)) == manifest_of(image)
    wrong = ("Content-Type", "application/vnd.oci.image.index.v1+json")
    world.hub.faults.add(Fault(route="manifest", kind="chunked", headers=(wrong,)))
    with pytest.raises(UpstreamInvalid, match="no manifest"):
        await upstream.get_manifest(NAME, manifest_digest(image))


async def test_schema_1_passes_under_the_digest_of_its_bytes(world: World) -> None:
    world.hub.push_manifest(str(NAME), "old", SCHEMA1, SCHEMA1_SIGNED)
    payload = ("Docker-Content-Digest", str(digest_of(b"the payload without signatures")))
    world.hub.faults.add(Fault(route="manifest", kind="chunked", headers=(payload,)))
    found = await world.upstream().resolve(NAME, Tag("old"))
    assert found == Manifest(SCHEMA1_SIGNED, digest_of(SCHEMA1), SCHEMA1)


async def test_hostile_text_in_an_answer_does_not_reach_a_message_as_it_is(world: World) -> None:
    image = push_image(world.hub)
    evil = ("Content-Type", "text/\x1b[31mhub-token-000001-and-what-looks-like-a-long-secret?x=y")
    world.hub.faults.add(Fault(route="manifest", kind="html", headers=(evil,)))
    with pytest.raises(UpstreamInvalid) as caught:
        await world.upstream().get_manifest(NAME, manifest_digest(image))
    assert str(caught.value).isprintable()
    assert "secret" not in str(caught.value)
