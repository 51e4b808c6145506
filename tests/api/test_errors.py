"""What a client hears when it cannot have what it asked for: always JSON, always a way on."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mirror.ports.blobs import StorageError
from mirror.ports.metadata import MetadataError
from tests.api.conftest import Connect
from tests.api.services import MemoryMirror
from tests.api.site import (
    BLOB,
    IMAGE,
    LAYER,
    LAYER_DIGEST,
    NAME,
    TAGGED,
    Site,
    blob_path,
    manifest_path,
)
from tests.api.wire import Answer, connected, request

SHARED = pytest.mark.asyncio(loop_scope="module")
HEX = "a" * 64
ABSENT = f"sha256:{HEX}"
PUSHED = {"POST", "PUT", "PATCH", "DELETE"}


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/", 404, "NAME_UNKNOWN"),
        ("/v1/_ping", 404, "NAME_UNKNOWN"),
        ("/v3/", 404, "NAME_UNKNOWN"),
        ("/v2x", 404, "NAME_UNKNOWN"),
        ("/v2/_catalog/", 404, "NAME_UNKNOWN"),
        ("/v2/_catalog?n=x", 400, "PAGINATION_NUMBER_INVALID"),
        ("/v2/nginx", 404, "NAME_UNKNOWN"),
        (f"/v2/{NAME}/tags", 404, "NAME_UNKNOWN"),
        (f"/v2/{NAME}/tags/list/", 404, "NAME_UNKNOWN"),
        ("/v2/UPPER/tags/list", 400, "NAME_INVALID"),
        ("/v2/a/b/tags/list", 404, "NAME_UNKNOWN"),
        ("/v2/a/b/c/tags/list", 404, "NAME_UNKNOWN"),
        (f"/v2/{NAME}/tags/list?n=-1", 400, "PAGINATION_NUMBER_INVALID"),
        (f"/v2/a/b/referrers/{ABSENT}", 404, "MANIFEST_UNKNOWN"),
        (f"/v2/{NAME}/referrers/sha256:short", 400, "DIGEST_INVALID"),
        (f"/v2/{NAME}/manifests/", 404, "NAME_UNKNOWN"),
        (f"/v2/{NAME}/manifests/nope", 404, "MANIFEST_UNKNOWN"),
        (f"/v2/{NAME}/manifests/{ABSENT}", 404, "MANIFEST_UNKNOWN"),
        (f"/v2/{NAME}/manifests/sha256:totallywrong", 400, "DIGEST_INVALID"),
        (f"/v2/{NAME}/manifests/.INVALID_MANIFEST_NAME", 404, "MANIFEST_UNKNOWN"),
        (f"/v2/{NAME}/blobs/", 404, "NAME_UNKNOWN"),
        (f"/v2/{NAME}/blobs/{ABSENT}", 404, "BLOB_UNKNOWN"),
        (f"/v2/{NAME}/blobs/latest", 400, "DIGEST_INVALID"),
        ("/v2/a/b/manifests/1", 404, "MANIFEST_UNKNOWN"),
        ("/v2/local/x/manifests/1", 404, "NAME_UNKNOWN"),
        ("/v2/a/b/c/manifests/1", 404, "NAME_UNKNOWN"),
        ("/v2/UPPER/x/manifests/1", 400, "NAME_INVALID"),
        ("/v2/a..b/x/blobs/" + ABSENT, 400, "NAME_INVALID"),
    ],
)
@SHARED
async def test_what_is_not_there(held: Site, path: str, status: int, code: str) -> None:
    get = await held.ask(path)
    assert (get.status, get.code) == (status, code)
    head = await held.ask(path, method="HEAD")
    assert (head.status, head.body) == (status, b"")
    assert head["Content-Length"] == get["Content-Length"]


@pytest.mark.parametrize("method", [*sorted(PUSHED), "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize(
    "path",
    [
        "/v2",
        "/v2/",
        "/v2/_catalog",
        f"/v2/docker.io{TAGGED.removeprefix('/v2')}",
        f"/v2/docker.io{BLOB.removeprefix('/v2')}",
        f"{BLOB}?ns=docker.io",
        f"/v2/docker.io/{NAME}/blobs/uploads/",
        f"/v2/docker.io/{NAME}/blobs/uploads/x",
        f"/v2/{NAME}/tags/list",
        f"/v2/{NAME}/referrers/{ABSENT}",
        "/livez",
        "/api/v1/stats",
    ],
)
@SHARED
async def test_only_reading_is_possible(held: Site, path: str, method: str) -> None:
    before = len(held.hub.requests)
    answer = await held.ask(path, method=method)
    assert (answer.status, answer.code) == (405, "UNSUPPORTED")
    assert {"GET", "HEAD"} <= set(answer["Allow"].split(", "))
    assert len(held.hub.requests) == before


@pytest.mark.parametrize("method", sorted(PUSHED))
@pytest.mark.parametrize("path", ["/v2/UPPER/x/manifests/1", "/v2/a..b/c/blobs/uploads/"])
@SHARED
async def test_a_malformed_name_is_told_whatever_the_method(
    held: Site, path: str, method: str
) -> None:
    answer = await held.ask(path, method=method)
    assert (answer.status, answer.code) == (400, "NAME_INVALID")


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("Content-Length: 11", b"hello world"),
        ("Content-Length: 11", b"hello"),
        ("Content-Length: 11", b""),
        ("Transfer-Encoding: chunked", b"b\r\nhello world\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", b"b\r\nhello"),
        ("Content-Encoding: gzip\r\nContent-Length: 4", b"\x1f\x8b\x08\x00"),
    ],
)
@pytest.mark.parametrize("method", sorted(PUSHED))
@pytest.mark.parametrize("path", ["/v2/", TAGGED, "/nowhere", "/v2/UPPER/x/manifests/1", "/livez"])
@SHARED
async def test_a_body_that_is_not_read_ends_the_connection(
    held: Site, path: str, method: str, head: str, body: bytes
) -> None:
    """Nothing of it, nor what follows it, is ever taken for a request."""
    smuggled = request("/v2/smuggled/smuggled/manifests/1")
    async with connected(held.port) as line:
        await line.send(request(path, head, method=method) + body)
        answer = await line.answer(method)
        assert answer.status in (400, 403, 404, 405)
        assert answer.errors
        assert answer["Connection"] == "close"
        if body.endswith((b"world", b"0\r\n\r\n", b"\x00")):
            await line.send(smuggled)
        else:
            line.end()
        assert (await line.rest())[0] == b""
    assert held.hub.count(name="smuggled/smuggled") == 0


@SHARED
async def test_nobody_is_asked_for_a_body_that_would_not_be_read(held: Site) -> None:
    async with connected(held.port) as line:
        lines = ("Expect: 100-continue", "Content-Length: 1000000000")
        await line.send(request(TAGGED, *lines, method="PUT"))
        line.received = await line.reader.readuntil(b"\r\n\r\n")
        assert line.received.startswith(b"HTTP/1.1 403")
        assert (await line.answer("PUT"))["Connection"] == "close"


@SHARED
async def test_the_message_names_what_was_asked_for(held: Site) -> None:
    (by_tag,) = (await held.ask(f"/v2/{NAME}/manifests/nope")).errors
    assert by_tag["detail"] == {"name": NAME, "tag": "nope"}
    (by_digest,) = (await held.ask(f"/v2/{NAME}/manifests/{ABSENT}")).errors
    assert by_digest["detail"] == {"digest": ABSENT}


HOSTILE = st.text(
    st.sampled_from("abz019._-/%:@?#&=+ \\\"'<>\x00\x1b\r\n\t\u0130\u2044\u202e\U0001f40b\x7f"),
    max_size=40,
)


@given(pieces=st.lists(HOSTILE | st.sampled_from(["..", ".", "%2e%2e", "%2f", "%00", "%ff"])))
@example(pieces=["..", "..", "etc", "passwd"])
@example(pieces=["%2f..%2f..%2fetc%2fpasswd"])
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@SHARED
async def test_any_path_gets_an_answer_that_can_be_read(held: Site, pieces: list[str]) -> None:
    """T18. No path leads out of the registry, up to the upstream, or into an error of ours."""
    before = len(held.hub.requests)
    target = "/v2/" + quoted("/".join(pieces))
    async with connected(held.port) as line:
        for suffix in ("", "/manifests/1", f"/blobs/{ABSENT}", "/tags/list"):
            answer = await line.ask(request(target + suffix))
            check(answer)
    for asked in held.hub.requests[before:]:
        assert asked.route in ("manifest", "blob", "tags", "token", "ping"), asked.target
        assert ".." not in asked.target


def quoted(text: str) -> str:
    """As clients write it: what HTTP does not allow in a target is percent-encoded."""
    return "".join(
        letter
        if letter.isascii() and (letter.isalnum() or letter in "._-/%:@?&=+")
        else "".join(f"%{byte:02x}" for byte in letter.encode())
        for letter in text
    )


def check(answer: Answer) -> None:
    assert answer.status in (200, 400, 404), answer
    if answer.status != 200:
        assert answer.errors
        assert json.loads(answer.body)
        assert answer.body.isascii()


@SHARED
async def test_an_image_whose_name_begins_with_dots_reads_no_file(held: Site) -> None:
    secret = held.mirror.data / "metadata.db"
    assert secret.exists()
    for climb in ("../metadata.db", "..%2fmetadata.db", "%2e%2e/metadata.db", "....//metadata.db"):
        for path in (f"/v2/{climb}", f"/v2/library/{climb}/manifests/1", f"/v2/blobs/{climb}"):
            answer = await held.ask(path)
            assert answer.status in (400, 404)
            assert b"SQLite" not in answer.body


@SHARED
async def test_errors_do_not_spend_the_connection(held: Site) -> None:
    async with connected(held.port) as line:
        statuses = [
            (await line.ask(request(path))).status
            for path in ("/nowhere", "/v2/UPPER/x/manifests/1", TAGGED, f"{TAGGED}x", BLOB)
        ]
    assert statuses == [404, 400, 200, 404, 200]


async def test_a_blob_that_cannot_come_is_told_before_its_first_byte(site: Site) -> None:
    """A broken answer costs dockerd a minute of resuming; a 404 sends it on at once."""
    config = IMAGE.config
    await site.ask(manifest_path(IMAGE))
    spoil(site, config)
    answer = await site.ask(blob_path(config))
    assert (answer.status, answer.code) == (404, "BLOB_UNKNOWN")
    direct = await site.ask(f"/v2/docker.io/{NAME}/blobs/{config}")
    assert direct.status in (502, 503)
    assert direct.errors


def spoil(site: Site, digest: str) -> None:
    """Let the hub hold other bytes under this digest."""
    content = site.hub.repositories.by_name[NAME].blobs[digest]
    site.hub.repositories.by_name[NAME].blobs[digest] = content[:-1] + b"?"


async def test_a_blob_that_cannot_be_read_is_fetched_again(site: Site) -> None:
    await site.pull()
    encoded = LAYER_DIGEST.removeprefix("sha256:")
    file = site.mirror.data / "blobs" / "sha256" / encoded[:2] / encoded
    file.unlink()
    file.mkdir()
    assert (await site.ask(BLOB)).body == LAYER
    await site.pull()
    await site.hub.stop()
    assert (await site.ask(BLOB)).body == LAYER


def raising(error: Exception) -> Callable[[], str | None]:
    def ready() -> str | None:
        raise error

    return ready


@pytest.mark.parametrize("error", [StorageError("no disk"), MetadataError("no database")])
async def test_a_store_that_fails_is_no_defect_of_the_server(
    mirror: MemoryMirror, connect: Connect, error: Exception
) -> None:
    mirror.services = replace(mirror.services, ready=raising(error))
    answer = await (await connect(mirror)).get("/readyz")
    assert (answer.status, answer.problem) == (
        *(503, "UNAVAILABLE: the mirror cannot read its data"),
    )
    assert int(answer.headers["Retry-After"]) > 0


async def test_a_defect_of_the_server_is_told_to_its_log_only(
    mirror: MemoryMirror, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    mirror.services = replace(mirror.services, ready=raising(ZeroDivisionError("the secret")))
    answer = await (await connect(mirror)).get("/readyz")
    assert (answer.status, answer.problem) == (500, "UNKNOWN: the mirror failed; its log says why")
    assert "the secret" in caplog.text
