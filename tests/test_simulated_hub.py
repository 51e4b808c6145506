"""The simulated hub behaves as Docker Hub does, and can be watched and steered."""

import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from yarl import URL

from tests.simulated_hub import (
    Quota,
    Redirects,
    SimulatedHub,
    blob,
    make_artifact,
    make_image,
    make_index,
)
from tests.simulated_hub.raw_client import raw_request

NAME = "library/hello"
LAYER = blob("layer", 10_000)
IMAGE = make_image(layers=[LAYER])
INDEX = make_index([IMAGE])
DIGEST = IMAGE.layers[0]
MANIFEST = f"/v2/{NAME}/manifests/1"
BLOB = f"/v2/{NAME}/blobs/{DIGEST}"


class Wall:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


@pytest.fixture
async def open_hub() -> AsyncIterator[SimulatedHub]:
    """One that asks for no token and has one image."""
    async with SimulatedHub(auth="none") as hub:
        hub.push(NAME, "1", INDEX)
        yield hub


# ---- manifests and the quota


async def test_a_manifest_is_served_with_its_type_digest_and_length(open_hub: SimulatedHub) -> None:
    for method, body in (("GET", INDEX.content), ("HEAD", b"")):
        answer = await raw_request(open_hub.host, MANIFEST, method)
        assert (answer.status, answer.body) == (200, body)
        assert answer.headers["Content-Type"] == INDEX.media_type
        assert answer.headers["Content-Length"] == str(INDEX.size)
        assert answer.headers["Docker-Content-Digest"] == INDEX.digest
        assert answer.headers["ETag"] == f'"{INDEX.digest}"'
        assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"


async def test_children_are_served_by_digest(open_hub: SimulatedHub) -> None:
    answer = await raw_request(open_hub.host, f"/v2/{NAME}/manifests/{IMAGE.digest}")
    assert answer.body == IMAGE.content
    for digest, content in IMAGE.blobs.items():
        assert (await raw_request(open_hub.host, f"/v2/{NAME}/blobs/{digest}")).body == content


async def test_tags_move_and_vanish_and_digests_stay(open_hub: SimulatedHub) -> None:
    open_hub.move_tag(NAME, "1", IMAGE)
    assert (await raw_request(open_hub.host, MANIFEST)).body == IMAGE.content
    open_hub.delete_tag(NAME, "1")
    assert (await raw_request(open_hub.host, MANIFEST)).status == 404
    old = await raw_request(open_hub.host, f"/v2/{NAME}/manifests/{INDEX.digest}")
    assert old.body == INDEX.content
    open_hub.delete_repository(NAME)
    assert b"NAME_UNKNOWN" in (await raw_request(open_hub.host, MANIFEST)).body


async def test_any_bytes_can_be_a_manifest(open_hub: SimulatedHub) -> None:
    digest = open_hub.push_manifest(NAME, "odd", b"not json", "text/odd")
    answer = await raw_request(open_hub.host, f"/v2/{NAME}/manifests/odd")
    assert (answer.body, answer.headers["Content-Type"]) == (b"not json", "text/odd")
    assert answer.headers["Docker-Content-Digest"] == digest


async def test_a_known_etag_is_304(open_hub: SimulatedHub) -> None:
    answer = await raw_request(open_hub.host, MANIFEST, If_None_Match=f'"{INDEX.digest}"')
    assert (answer.status, answer.body) == (304, b"")


async def test_a_strict_registry_hides_what_is_not_accepted(open_hub: SimulatedHub) -> None:
    open_hub.strict_accept = True
    assert (await raw_request(open_hub.host, MANIFEST, Accept="application/json")).status == 404
    assert (
        await raw_request(open_hub.host, MANIFEST, Accept=f"a/b, {INDEX.media_type};q=1")
    ).status == 200


async def test_a_manifest_get_costs_quota_and_a_head_does_not(open_hub: SimulatedHub) -> None:
    open_hub.quota = Quota(limit=100, remaining=2, window=21600, source="192.0.2.9")
    seen = [
        (await raw_request(open_hub.host, MANIFEST, method)).headers["ratelimit-remaining"]
        for method in ("HEAD", "GET", "HEAD", "GET")
    ]
    assert seen == ["2;w=21600", "1;w=21600", "1;w=21600", "0;w=21600"]
    refused = await raw_request(open_hub.host, MANIFEST)
    assert refused.status == 429
    assert refused.headers["ratelimit-limit"] == "100;w=21600"
    assert refused.headers["docker-ratelimit-source"] == "192.0.2.9"
    assert "Retry-After" not in refused.headers
    assert json.loads(refused.body)["errors"][0]["code"] == "TOOMANYREQUESTS"
    assert (await raw_request(open_hub.host, MANIFEST, "HEAD")).status == 200
    assert (await raw_request(open_hub.host, BLOB)).status == 200


async def test_the_abuse_limit_refuses_everything_in_plain_text(hub: SimulatedHub) -> None:
    hub.abuse = True
    for host, target in ((hub.host, "/v2/"), (hub.host, BLOB), (hub.token_host, "/token")):
        answer = await raw_request(host, target)
        assert (answer.status, answer.headers["Content-Type"]) == (429, "text/plain")


# ---- blobs


@pytest.mark.parametrize(
    ("asked", "status", "expected", "content_range"),
    [
        (None, 200, LAYER, None),
        ("bytes=0-", 206, LAYER, "bytes 0-9999/10000"),
        ("bytes=10-19", 206, LAYER[10:20], "bytes 10-19/10000"),
        ("bytes=9990-", 206, LAYER[9990:], "bytes 9990-9999/10000"),
        ("bytes=9990-20000", 206, LAYER[9990:], "bytes 9990-9999/10000"),
        ("bytes=-5", 206, LAYER[-5:], "bytes 9995-9999/10000"),
        ("bytes=-20000", 206, LAYER, "bytes 0-9999/10000"),
        ("bytes=10000-", 416, b"", "bytes */10000"),
        ("bytes=500-0", 416, b"", "bytes */10000"),
        ("bytes=-0", 416, b"", "bytes */10000"),
        ("bytes=0-1,3-4", 200, LAYER, None),
        ("lines=0-1", 200, LAYER, None),
        ("bytes=-", 200, LAYER, None),
    ],
)  # fmt: skip
async def test_ranges(
    open_hub: SimulatedHub,
    asked: str | None,
    status: int,
    expected: bytes,
    content_range: str | None,
) -> None:
    answer = await raw_request(open_hub.host, BLOB, **({} if asked is None else {"Range": asked}))
    assert (answer.status, answer.body) == (status, expected)
    assert answer.headers["Content-Length"] == str(len(expected))
    assert answer.headers.get("Content-Range") == content_range


async def test_a_range_holds_only_for_the_content_meant(open_hub: SimulatedHub) -> None:
    for condition, status in ((f'"{DIGEST}"', 206), ('"other"', 200)):
        answer = await raw_request(open_hub.host, BLOB, Range="bytes=1-2", If_Range=condition)
        assert answer.status == status


async def test_ranges_can_be_unsupported(open_hub: SimulatedHub) -> None:
    open_hub.ranges = False
    answer = await raw_request(open_hub.host, BLOB, Range="bytes=10-19")
    assert (answer.status, answer.body) == (200, LAYER)
    assert "Accept-Ranges" not in answer.headers


async def test_head_of_a_blob(open_hub: SimulatedHub) -> None:
    answer = await raw_request(open_hub.host, BLOB, "HEAD", Range="bytes=1-2")
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "10000")
    assert answer.headers["Docker-Content-Digest"] == DIGEST


async def test_a_blob_belongs_to_its_repository(open_hub: SimulatedHub) -> None:
    digest = open_hub.push_blob("library/other", b"elsewhere")
    assert (await raw_request(open_hub.host, f"/v2/{NAME}/blobs/{digest}")).status == 404


async def test_a_blob_can_be_at_the_cdn(open_hub: SimulatedHub) -> None:
    open_hub.redirects = Redirects(blobs=307)
    sent = await raw_request(open_hub.host, BLOB)
    assert (sent.status, sent.body) == (307, b"")
    location = sent.headers["Location"]
    assert location.startswith(open_hub.cdn_url + "/registry-v2/")
    target = location.removeprefix(open_hub.cdn_url)
    assert (await raw_request(open_hub.cdn_host, target)).body == LAYER
    part = await raw_request(open_hub.cdn_host, target, Range="bytes=5-9")
    assert (part.status, part.body) == (206, LAYER[5:10])
    assert open_hub.count("cdn", digest=DIGEST) == 2


async def signed_target(hub: SimulatedHub) -> str:
    hub.redirects = Redirects(blobs=307)
    answer = await raw_request(hub.host, BLOB)
    return answer.headers["Location"].removeprefix(hub.cdn_url)


async def test_the_cdn_wants_get_without_credentials(open_hub: SimulatedHub) -> None:
    target = await signed_target(open_hub)
    assert (await raw_request(open_hub.cdn_host, target, Authorization="Bearer x")).status == 400
    assert (await raw_request(open_hub.cdn_host, target, "HEAD")).status == 403


async def test_the_signature_covers_every_byte_of_the_query(
    open_hub: SimulatedHub, client: aiohttp.ClientSession
) -> None:
    target = await signed_target(open_hub)
    async with client.get(URL(open_hub.cdn_url + target, encoded=True)) as answer:
        assert answer.status == 200
    async with client.get(open_hub.cdn_url + target) as answer:
        assert answer.status == 403, "a client that quotes again changes the signature"


async def test_signed_addresses_expire() -> None:
    wall = Wall()
    async with SimulatedHub(auth="none", clock=wall) as hub:
        hub.push(NAME, "1", INDEX)
        target = await signed_target(hub)
        hub.cdn.one_time = True
        assert (await raw_request(hub.cdn_host, target)).status == 200
        assert b"used before" in (await raw_request(hub.cdn_host, target)).body
        hub.cdn.one_time = False
        wall.now += hub.cdn.lifetime
        assert b"expired" in (await raw_request(hub.cdn_host, target)).body


async def test_a_redirect_can_be_relative(open_hub: SimulatedHub) -> None:
    open_hub.redirects = Redirects(blobs=302, relative=True, heads=False)
    sent = await raw_request(open_hub.host, BLOB)
    assert (sent.status, sent.headers["Location"][0]) == (302, "/")
    assert (await raw_request(open_hub.host, sent.headers["Location"])).body == LAYER
    assert (await raw_request(open_hub.host, BLOB, "HEAD")).status == 200


async def test_manifests_can_be_at_another_registry(open_hub: SimulatedHub) -> None:
    open_hub.redirects = Redirects(manifests=307)
    for method in ("GET", "HEAD"):
        sent = await raw_request(open_hub.host, MANIFEST, method)
        assert (sent.status, sent.headers["Location"]) == (307, open_hub.cdn_url + MANIFEST)
        there = await raw_request(open_hub.cdn_host, MANIFEST, method)
        assert (there.status, there.headers["Docker-Content-Digest"]) == (200, INDEX.digest)
    refused = await raw_request(open_hub.cdn_host, MANIFEST, Authorization="Bearer x")
    assert refused.status == 400


# ---- lists


async def test_tags_come_in_pages(open_hub: SimulatedHub) -> None:
    for tag in ("2", "3"):
        open_hub.push(NAME, tag, INDEX)
    target, pages = f"/v2/{NAME}/tags/list?n=2", []
    while target:
        page = await raw_request(open_hub.host, target)
        pages.append(json.loads(page.body)["tags"])
        target = page.headers.get("Link", "").partition(";")[0].strip("<>")
    assert pages == [["1", "2"], ["3"]]


async def test_referrers_are_listed_and_filtered(open_hub: SimulatedHub) -> None:
    note = make_artifact(IMAGE, b"note", "application/vnd.example.sig")
    open_hub.push(NAME, None, note)
    target = f"/v2/{NAME}/referrers/{IMAGE.digest}"
    listed = json.loads((await raw_request(open_hub.host, target)).body)["manifests"]
    assert [each["digest"] for each in listed] == [note.digest]
    other = await raw_request(open_hub.host, target + "?artifactType=a/b")
    assert json.loads(other.body)["manifests"] == []
    assert other.headers["OCI-Filters-Applied"] == "artifactType"


async def test_nothing_can_be_written(open_hub: SimulatedHub) -> None:
    answer = await raw_request(open_hub.host, MANIFEST, "PUT", Content_Length="0")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
