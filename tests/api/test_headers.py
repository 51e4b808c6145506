"""What an answer says about itself: the same for HEAD and GET, and exactly what is sent."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.api.headers import cache_status, matches_entity_tag, warning
from mirror.oci.digest import parse_digest
from mirror.registry.answer import Handling
from mirror.registry.statistics import Result
from tests.api.cache_status import CacheStatus, parse_cache_status, parse_warning
from tests.api.site import (
    BLOB,
    BY_DIGEST,
    IMAGE,
    INDEX,
    LAYER,
    LAYER_DIGEST,
    NAME,
    SMALL,
    TAGGED,
    Site,
    blob_path,
    manifest_path,
)
from tests.api.wire import Answer, connected, request
from tests.simulated_hub import Fault, Image, digest_of, make_image

PATHS = [TAGGED, BY_DIGEST, manifest_path(IMAGE), BLOB, blob_path(IMAGE.config), blob_path(b"")]
HOUR = timedelta(hours=1)
SHARED = pytest.mark.asyncio(loop_scope="module")


async def stay_cold(site: Site) -> None:
    """Nobody has asked yet."""


async def hold(site: Site) -> None:
    await site.pull()


async def grow_stale(site: Site) -> None:
    await site.pull()
    site.mirror.clock.advance(HOUR)
    await site.hub.stop()


def without(answer: Answer, *names: str) -> list[tuple[str, str]]:
    return [(name, value) for name, value in answer.headers if name not in names]


@pytest.mark.parametrize("prepare", [stay_cold, hold, grow_stale])
async def test_a_head_says_what_a_get_says(
    site: Site, prepare: Callable[[Site], Awaitable[None]]
) -> None:
    await prepare(site)
    # Only a GET stores a blob that was not here, and says so.
    but = ("Date", "Cache-Status") if prepare is stay_cold else ("Date",)
    for path in PATHS:
        head = await site.ask(path, method="HEAD")
        get = await site.ask(path)
        assert (head.status, get.status) == (200, 200)
        assert without(head, *but) == without(get, *but)
        assert head.body == b""
        assert get["Content-Length"] == str(len(get.body))


@pytest.mark.parametrize("prepare", [stay_cold, hold, grow_stale])
async def test_content_is_named_exactly(
    site: Site, prepare: Callable[[Site], Awaitable[None]]
) -> None:
    """No parameter follows the type, no encoding changes the bytes."""
    await prepare(site)
    for path, content, media_type in (
        (TAGGED, INDEX.content, INDEX.media_type),
        (BY_DIGEST, INDEX.content, INDEX.media_type),
        (manifest_path(IMAGE), IMAGE.content, IMAGE.media_type),
        (BLOB, LAYER, "application/octet-stream"),
    ):
        for method in ("HEAD", "GET"):
            answer = await site.ask(path, "Accept-Encoding: gzip, zstd;q=1.0, br", method=method)
            assert answer["Content-Type"] == media_type
            assert answer["Content-Length"] == str(len(content))
            assert answer["Docker-Content-Digest"] == digest_of(content)
            assert answer["ETag"] == f'"{digest_of(content)}"'
            assert "no-transform" in answer["Cache-Control"]
            assert answer.get("Content-Encoding") is None
            assert answer.get("Vary") is None
            assert answer.body == (content if method == "GET" else b"")
            assert path != BLOB or answer["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    "encodings", ["gzip", "deflate", "br", "zstd", "gzip;q=1.0, *;q=0", "identity;q=0", "*"]
)
@SHARED
async def test_nothing_is_ever_compressed(held: Site, encodings: str) -> None:
    missing = f"/v2/{NAME}/manifests/{'x' * 100}"
    for path in [*PATHS, missing, "/v2/", "/nowhere"]:
        for extra in ((), ("X-Long-Way: 1",)):
            answer = await held.ask(path, f"Accept-Encoding: {encodings}", *extra)
            assert answer.get("Content-Encoding") is None
            assert answer["Content-Length"] == str(len(answer.body))


@SHARED
async def test_every_answer_names_the_version_of_the_api(held: Site) -> None:
    """Also those that are errors: older clients look for it at the first one they get."""
    answers = [
        await held.ask("/v2"),
        await held.ask("/v2/"),
        await held.ask("/v2/", method="POST"),
        await held.ask(TAGGED),
        await held.ask(TAGGED, f'If-None-Match: "{INDEX.digest}"'),
        await held.ask(BLOB),
        await held.ask(BLOB, "Range: bytes=5-9"),
        await held.ask(BLOB, "Range: bytes=9999999-"),
        await held.ask(f"/v2/{NAME}/manifests/nope"),
        await held.ask("/v2/UPPER/x/manifests/1"),
        await held.ask(TAGGED, method="PUT"),
        await held.ask(TAGGED, method="PATCH"),
        await held.ask("/v2/nothing"),
        await held.ask("/nowhere"),
        await held.ask("/nowhere", "Expect: miracles"),
        await held.ask("/v2/", "Host: twice"),
    ]
    assert [answer.status for answer in answers] == [
        *(200, 200, 405, 200, 304, 200, 206, 416, 404, 400, 403, 405, 404, 404, 417, 400)
    ]
    for answer in answers:
        assert answer["Docker-Distribution-Api-Version"] == "registry/2.0", answer


@pytest.mark.parametrize("path", ["/v2", "/v2/", "/v2/?ns=docker.io", "/v2/?anything=else"])
@SHARED
async def test_a_ping_is_answered_here(held: Site, path: str) -> None:
    before = len(held.hub.requests)
    get = await held.ask(path)
    head = await held.ask(path, method="HEAD")
    assert (get.status, get.body) == (200, b"{}")
    assert get["Content-Type"] == "application/json"
    assert without(head, "Date") == without(get, "Date")
    assert (head.status, head.body) == (200, b"")
    assert len(held.hub.requests) == before


@pytest.mark.parametrize("known", [TAGGED, BY_DIGEST, BLOB])
@pytest.mark.parametrize(
    ("conditions", "status"),
    [
        (['"{}"'], 304),
        (["{}"], 304),
        (['W/"{}"'], 304),
        (["*"], 304),
        (['"sha256:0", "{}"'], 304),
        (['"sha256:0" ,"{}","x"'], 304),
        (['"sha256:0"', '"{}"'], 304),
        (['"sha256:0"'], 200),
        ([""], 200),
        (['"{}x"'], 200),
        ([], 200),
    ],
)
@SHARED
async def test_if_none_match(
    held: Site, known: str, conditions: Sequence[str], status: int
) -> None:
    """What the client has is not sent again, and nobody hears a 304 who did not ask for one."""
    digest = LAYER_DIGEST if known == BLOB else INDEX.digest
    lines = [f"If-None-Match: {condition.format(digest)}" for condition in conditions]
    for method in ("GET", "HEAD"):
        answer = await held.ask(known, *lines, method=method)
        assert answer.status == status
        assert answer["ETag"] == f'"{digest}"'
        assert answer["Docker-Content-Digest"] == digest
        if status == 304:
            assert answer.body == b""
            assert answer.get("Content-Length") is None
            assert answer.get("Content-Type") is None
            assert parse_cache_status(answer["Cache-Status"]).is_hit


@SHARED
async def test_a_304_does_not_confuse_what_follows_it(held: Site) -> None:
    condition = f'If-None-Match: "{INDEX.digest}"'
    async with connected(held.port) as line:
        await line.send(request(TAGGED, condition) + request(BLOB) + request(TAGGED))
        statuses = [(await line.answer()).status for _ in range(3)]
    assert statuses == [304, 200, 200]


@SHARED
async def test_content_that_is_not_sent_is_not_counted_as_sent(held: Site) -> None:
    before = (await held.mirror.get("/api/v1/stats")).body
    for path in (TAGGED, BLOB):
        await held.ask(path, "If-None-Match: *")
        await held.ask(path, method="HEAD")
    after = (await held.mirror.get("/api/v1/stats")).body
    assert served(after) == served(before)
    assert {line.bytes for line in held.mirror.lines if line.status == 304} == {0}


def served(stats: bytes) -> bytes:
    return stats.partition(b'"served":')[2].partition(b",")[0]


@pytest.mark.parametrize(
    "line", ["If-Modified-Since: Mon, 01 Jan 2035 00:00:00 GMT", 'If-Match: "sha256:0"']
)
@SHARED
async def test_other_conditions_do_not_stop_a_pull(held: Site, line: str) -> None:
    assert [(await held.ask(path, line)).status for path in (TAGGED, BLOB)] == [200, 200]


def test_entity_tags_are_compared_whole() -> None:
    digest = parse_digest(LAYER_DIGEST)
    assert not matches_entity_tag([LAYER_DIGEST[:-1]], digest)
    assert not matches_entity_tag([LAYER_DIGEST.upper()], digest)
    assert not matches_entity_tag([], digest)


DOCKER_TYPES = [
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
]
ACCEPTS = {
    "dockerd, a line each": DOCKER_TYPES,
    "podman, in its order": [DOCKER_TYPES[5], DOCKER_TYPES[2], DOCKER_TYPES[0], DOCKER_TYPES[3]],
    "containerd, in one line": [", ".join([*DOCKER_TYPES[2:], "*/*"])],
    "curl": ["*/*"],
    "nothing": [],
    "schema 1 only": [DOCKER_TYPES[0]],
    "a browser": ["text/html,application/xhtml+xml;q=0.9,image/avif"],
    "another type": [DOCKER_TYPES[2]],
    "refused on paper": [f"{INDEX.media_type};q=0"],
    "garbage": ["///;;==,,"],
}


@pytest.mark.parametrize("accept", ACCEPTS.values(), ids=ACCEPTS.keys())
@SHARED
async def test_the_stored_bytes_whatever_the_client_accepts(
    held: Site, accept: Sequence[str]
) -> None:
    """F36. A conversion would change the digest, and every client checks the type it gets."""
    lines = [f"Accept: {each}" for each in accept]
    name = f"library/wanted-{len(held.hub.repositories.by_name)}"
    held.hub.push(name, "1", INDEX)
    path = manifest_path("1", name)
    answers = [await held.ask(path, *lines, method=method) for method in ("GET", "GET", "HEAD")]
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert [answer.body for answer in answers] == [INDEX.content, INDEX.content, b""]
    assert {answer["Content-Type"] for answer in answers} == {INDEX.media_type}
    assert parse_cache_status(answers[1]["Cache-Status"]).is_hit


async def test_what_the_first_client_accepts_does_not_matter_to_the_next(site: Site) -> None:
    """The upstream is asked for every type, so that nobody poisons the tag for the others."""
    site.hub.strict_accept = True
    assert (await site.ask(TAGGED, "Accept: text/html")).body == INDEX.content
    assert (await site.ask(TAGGED, f"Accept: {INDEX.media_type}")).body == INDEX.content


@pytest.mark.parametrize(
    ("query", "echo"),
    [
        ("", None),
        ("?ns=docker.io", "docker.io"),
        ("?ns=DOCKER.IO", "docker.io"),
        ("?x=1&ns=docker.io", "docker.io"),
        ("?ns=docker%2eio", "docker.io"),
    ],
)
@SHARED
async def test_the_namespace_is_echoed(held: Site, query: str, echo: str | None) -> None:
    for path in (TAGGED, BLOB):
        for method in ("GET", "HEAD"):
            for _ in ("as it comes", "as it is held", "prepared"):
                answer = await held.ask(path + query, method=method)
                assert answer.status == 200
                assert answer.get("OCI-Namespace") == echo


@pytest.mark.parametrize("query", ["?ns=ghcr.io", "?ns=", "?ns=docker.io&ns=docker.io", "?ns"])
@SHARED
async def test_a_namespace_that_is_not_ours_is_not_found(held: Site, query: str) -> None:
    for path in (TAGGED, BLOB):
        answer = await held.ask(path + query)
        assert (answer.status, answer.code) == (404, "NAME_UNKNOWN")
        assert answer.get("OCI-Namespace") is None


async def handled(site: Site, path: str) -> CacheStatus:
    """What GET and HEAD agree on that the cache did for a path, with the warning if any."""
    answer = await site.ask(path)
    assert answer.status == 200
    text = answer.get("Warning")
    status = parse_cache_status(answer["Cache-Status"])
    assert status.cache == "mirror"
    assert (text is not None) == ("stale" in str(status.parameters.get("detail", "")))
    if text is not None:
        parse_warning(text)
    return status


async def test_the_cache_says_what_it_did_with_a_tag(site: Site) -> None:
    first = await handled(site, TAGGED)
    assert (first.forwarded, first.parameters["ttl"]) == ("miss", 300)

    site.mirror.clock.advance(timedelta(seconds=100))
    second = await handled(site, TAGGED)
    assert (second.is_hit, second.parameters["ttl"]) == (True, 200)

    site.mirror.clock.advance(HOUR)
    third = await handled(site, TAGGED)
    assert (third.forwarded, third.parameters["detail"]) == ("stale", "revalidated")
    assert third.parameters["ttl"] == 300

    site.mirror.clock.advance(HOUR)
    await site.hub.stop()
    fourth = await handled(site, TAGGED)
    assert fourth.is_hit
    assert "stale" in str(fourth.parameters["detail"])
    assert "1 hour" in str(fourth.parameters["detail"])


async def test_the_cache_says_what_it_did_with_a_blob(site: Site) -> None:
    cold = await site.ask(BLOB, method="HEAD")
    assert parse_cache_status(cold["Cache-Status"]).parameters == {"fwd": "miss"}
    assert (await handled(site, BLOB)).parameters == {"fwd": "miss", "stored": True}
    await site.pull()
    assert (await handled(site, BLOB)).parameters == {"hit": True}


async def test_a_tag_that_moved_is_a_miss(site: Site) -> None:
    await site.pull()
    moved: Image = make_image(layers=[SMALL])
    site.hub.move_tag(NAME, "1", moved)
    site.mirror.clock.advance(HOUR)
    answer = await site.ask(TAGGED)
    assert answer.body == moved.content
    assert parse_cache_status(answer["Cache-Status"]).forwarded == "miss"


HOSTILE = b'\x1b[2J"\\\r\nSet-Cookie: a=b\r\n\r\nHTTP/1.1 200 OK\xff\xe2\x80\xa8' * 2000


async def test_hostile_words_of_an_upstream_stay_inside_a_warning(site: Site) -> None:
    await site.pull()
    site.mirror.clock.advance(HOUR)
    site.hub.faults.add(Fault(kind="status", status=429, route="manifest", body=HOSTILE))
    answer = await site.ask(TAGGED)
    assert answer.status == 200
    assert answer.get("Set-Cookie") is None
    assert "429" in parse_warning(answer["Warning"])
    assert parse_cache_status(answer["Cache-Status"]).is_hit


@given(st.text(max_size=3000) | st.just("\\" * 3000) | st.just('"' * 3000))
def test_any_detail_makes_a_warning_of_one_line(detail: str) -> None:
    handling = Handling(Result.STALE, detail=detail)
    text = warning(handling)
    assert text is not None
    told = parse_warning(text)
    status = parse_cache_status(cache_status(handling))
    assert status.is_hit
    if detail.isascii() and detail.isprintable() and len(detail) < 500:
        assert told.endswith(detail)
        assert status.parameters["detail"] == f"stale: {detail}"


@pytest.mark.parametrize("result", [each for each in Result if each is not Result.ERROR])
@pytest.mark.parametrize("ttl", [None, 0, 240])
def test_every_result_has_a_status(result: Result, ttl: int | None) -> None:
    status = parse_cache_status(cache_status(Handling(result, ttl=ttl)))
    assert status.parameters.get("ttl") == ttl
    assert warning(Handling(result, ttl=ttl)) is None
