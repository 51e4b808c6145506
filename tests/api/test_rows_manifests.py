"""Edge cases of pulling, by their row (see `test_rows_names`): 16 to 36, manifests."""

import json
from datetime import timedelta

import pytest

from mirror.oci.manifest import MANIFEST_LIMIT
from tests.api.cache_status import parse_cache_status
from tests.api.site import BY_DIGEST, IMAGE, INDEX, NAME, SMALL, TAGGED, Site, manifest_path
from tests.api.wire import Answer
from tests.simulated_hub import OCI, Fault, digest_of, make_image
from tests.simulated_hub.faults import Kind

HOUR = timedelta(hours=1)
DIRECT = f"/v2/docker.io/{NAME}/manifests/1"
SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"


def described(answer: Answer) -> list[tuple[str, str]]:
    """The headers, without when it was sent and what the cache did."""
    return [header for header in answer.headers if header[0] not in ("Date", "Cache-Status")]


async def test_row_16_a_tag_that_moves_while_a_client_pulls(site: Site) -> None:
    """What it learned first can be pulled to the end."""
    first = await site.ask(TAGGED, method="HEAD")
    site.hub.move_tag(NAME, "1", make_image(layers=[SMALL]))
    site.mirror.clock.advance(HOUR)
    assert (await site.ask(TAGGED)).body != INDEX.content
    old = await site.ask(manifest_path(first["Docker-Content-Digest"]))
    assert old.body == INDEX.content


async def test_row_17_a_tag_that_was_deleted(site: Site) -> None:
    assert (await site.ask(TAGGED)).status == 200
    site.hub.delete_tag(NAME, "1")
    site.mirror.clock.advance(HOUR)
    gone = await site.ask(TAGGED)
    assert (gone.status, gone.code) == (404, "MANIFEST_UNKNOWN")
    assert (await site.ask(BY_DIGEST)).body == INDEX.content


async def test_row_18_another_body_than_the_digest_names(site: Site) -> None:
    fault = site.hub.faults.add(Fault(kind="flip", route="manifest"))
    for path, statuses in ((TAGGED, {404}), (BY_DIGEST, {404}), (DIRECT, {502})):
        answer = await site.ask(path)
        assert answer.status in statuses
        assert answer.errors
    site.hub.faults.remove(fault)
    site.mirror.clock.advance(HOUR)
    assert (await site.ask(TAGGED)).body == INDEX.content
    assert (await site.ask(BY_DIGEST)).body == INDEX.content


async def test_row_19_another_body_than_the_header_says(site: Site) -> None:
    """Where the tag has to be fetched to learn what it is."""
    site.hub.faults.add(Fault(kind="no_digest_header", route="manifest", method="HEAD"))
    wrong = site.hub.faults.add(Fault(kind="wrong_digest_header", route="manifest", method="GET"))
    assert (await site.ask(TAGGED)).status == 404
    assert (await site.ask(DIRECT)).status == 502
    site.hub.faults.remove(wrong)
    site.mirror.clock.advance(HOUR)
    assert (await site.ask(TAGGED)).body == INDEX.content


async def test_row_20_a_manifest_that_comes_packed(site: Site) -> None:
    site.hub.faults.add(Fault(kind="gzip", route="manifest", method="GET"))
    answer = await site.ask(TAGGED)
    assert (answer.status, answer.body) == (200, INDEX.content)
    assert answer.get("Content-Encoding") is None
    assert all(
        asked.headers["Accept-Encoding"] == "identity" for asked in site.hub.find("manifest")
    )


async def test_row_21_a_manifest_without_measure(site: Site) -> None:
    content = b'{"schemaVersion":2,"manifests":[],"a":"%s"}' % (b"x" * 5 * MANIFEST_LIMIT)
    digest = site.hub.push_manifest(NAME, "huge", content, OCI.index)
    for reference in ("huge", digest):
        answer = await site.ask(manifest_path(reference))
        assert (answer.status, answer.code) == (404, "MANIFEST_UNKNOWN")
    assert all(not asked.completed for asked in site.hub.find("manifest", "GET"))


SILENT: list[Kind] = ["no_digest_header", "no_length_header"]


@pytest.mark.parametrize("kind", SILENT)
async def test_row_23_a_head_that_does_not_say_enough(site: Site, kind: Kind) -> None:
    site.hub.faults.add(Fault(kind=kind, route="manifest", method="HEAD"))
    head = await site.ask(TAGGED, method="HEAD")
    assert head.status == 200
    assert head["Docker-Content-Digest"] == INDEX.digest
    assert head["Content-Length"] == str(len(INDEX.content))
    assert (await site.ask(TAGGED)).body == INDEX.content
    assert site.hub.count("manifest", "GET") == 1


async def test_row_24_head_on_a_tag_says_what_get_says(site: Site) -> None:
    head = await site.ask(TAGGED, method="HEAD")
    assert site.hub.count("manifest", "GET") == 0
    get = await site.ask(TAGGED)
    assert (head.status, get.status) == (200, 200)
    assert described(head) == described(get)


async def test_row_25_a_digest_belongs_to_the_repositories_that_have_it(site: Site) -> None:
    other = "library/other"
    site.hub.push(other, "1", make_image(layers=[b"other"]))
    assert (await site.ask(TAGGED)).status == 200
    assert (await site.ask(manifest_path(IMAGE))).body == IMAGE.content
    assert (await site.ask(manifest_path(IMAGE, other))).status == 404
    assert (await site.ask(BY_DIGEST.replace(NAME, other))).status == 404
    assert site.hub.count("manifest", name=other, digest=IMAGE.digest) == 1


async def test_row_26_a_digest_nobody_has_asked_for(site: Site) -> None:
    answer = await site.ask(BY_DIGEST)
    assert answer.body == INDEX.content
    assert [asked.method for asked in site.hub.find("manifest")] == ["GET"]
    await site.hub.stop()
    site.mirror.clock.advance(timedelta(days=3650))
    held = await site.ask(BY_DIGEST)
    assert held.body == INDEX.content
    assert parse_cache_status(held["Cache-Status"]).is_hit


async def test_row_27_the_same_bytes_under_two_types(site: Site) -> None:
    """Bytes without a type have that of their repository; those that contradict it are refused."""
    bare = json.dumps({"schemaVersion": 2, "manifests": []}).encode()
    docker = "application/vnd.docker.distribution.manifest.list.v2+json"
    for name, media_type in (("library/one", OCI.index), ("library/two", docker)):
        site.hub.push_manifest(name, "bare", bare, media_type)
        for _ in ("cold", "held"):
            answer = await site.ask(manifest_path("bare", name))
            assert (answer["Content-Type"], answer.body) == (media_type, bare)
    site.hub.push_manifest("library/two", "typed", INDEX.content, docker)
    typed = await site.ask(manifest_path("typed", "library/two"))
    assert (typed.status, typed.code) == (404, "MANIFEST_UNKNOWN")


@pytest.mark.parametrize(
    "accept", [SCHEMA1, f"{SCHEMA1}, application/json", OCI.manifest, "text/html"]
)
async def test_row_28_a_client_that_does_not_accept_what_there_is(site: Site, accept: str) -> None:
    answer = await site.ask(TAGGED, f"Accept: {accept}")
    assert (answer.status, answer["Content-Type"]) == (200, INDEX.media_type)
    assert answer.body == INDEX.content


async def test_row_29_the_first_schema_passes_and_is_not_kept(site: Site) -> None:
    content = json.dumps({"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": []}).encode()
    site.hub.push_manifest(NAME, "old", content, SCHEMA1)
    for _ in ("the first", "the second"):
        answer = await site.ask(manifest_path("old"))
        assert (answer.status, answer["Content-Type"]) == (200, SCHEMA1)
        assert answer.body == content
    blobs = site.mirror.data / "blobs"
    assert not list(blobs.rglob(digest_of(content).removeprefix("sha256:")))


ODD_ENTRIES: list[dict[str, object]] = [
    {"mediaType": "application/x.unknown", "digest": "sha256:" + "1" * 64, "size": 5},
    {"mediaType": OCI.manifest, "digest": "sha256:" + "2" * 64, "size": 0},
    {"mediaType": OCI.manifest, "digest": "sha256:" + "3" * 64, "size": -1},
    {"mediaType": OCI.manifest, "digest": "blake3:" + "4" * 64, "size": 5},
    {"mediaType": OCI.manifest, "digest": "nonsense", "size": 5},
    {"mediaType": 5, "digest": None},
    {},
]


@pytest.mark.parametrize("entry", ODD_ENTRIES, ids=range(len(ODD_ENTRIES)))
async def test_row_30_an_index_of_odd_things(site: Site, entry: dict[str, object]) -> None:
    """The bytes are the client's to judge."""
    document = {"schemaVersion": 2, "mediaType": OCI.index, "manifests": [entry]}
    await passes(site, json.dumps(document).encode())


ODD_JSON = {
    "twice the same key": b'{"schemaVersion":2,"manifests":[],"annotations":{"a":"1","a":"2"}}',
    "a long number": b'{"schemaVersion":2,"manifests":[],"a":' + b"9" * 10_000 + b"}",
    "followed by something": b'{"schemaVersion":2,"manifests":[]}\n\n',
}


@pytest.mark.parametrize("content", ODD_JSON.values(), ids=ODD_JSON.keys())
async def test_row_31_json_on_the_edge(site: Site, content: bytes) -> None:
    await passes(site, content)


@pytest.mark.parametrize(
    "content",
    [
        b'{"schemaVersion":2,"manifests":[],"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"schemaVersion":2,"manifests":[],"annotations":{"a":"\xff\xfe"}}',
        b'{"schemaVersion":2,"manifests":[]',
    ],
)
async def test_row_31_what_cannot_be_read_is_taken_for_no_manifest(
    site: Site, content: bytes
) -> None:
    """The client that has an origin goes there; the other one hears whose fault it is."""
    site.hub.push_manifest(NAME, "odd", content, OCI.index)
    answer = await site.ask(manifest_path("odd"))
    assert (answer.status, answer.code) == (404, "MANIFEST_UNKNOWN")
    assert (await site.ask(f"/v2/docker.io/{NAME}/manifests/odd")).status == 502


async def passes(site: Site, content: bytes) -> None:
    site.hub.push_manifest(NAME, "odd", content, OCI.index)
    for reference in ("odd", digest_of(content), "odd"):
        answer = await site.ask(manifest_path(reference))
        assert (answer.status, answer.body) == (200, content)
        assert answer["Docker-Content-Digest"] == digest_of(content)


async def test_row_36_a_tag_that_looks_like_a_digest(site: Site) -> None:
    """Where clients look for signatures, and mostly find none."""
    tag = INDEX.digest.replace(":", "-")
    for suffix in ("", ".sig", ".att"):
        absent = await site.ask(manifest_path(tag + suffix))
        assert (absent.status, absent.code) == (404, "MANIFEST_UNKNOWN")
    signature = make_image(layers=[b"signature"])
    site.hub.push(NAME, f"{tag}.sig", signature)
    site.mirror.clock.advance(HOUR)
    assert (await site.ask(manifest_path(f"{tag}.sig"))).body == signature.content
