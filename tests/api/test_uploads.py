"""Uploading blobs, as the specification has it and as clients do it.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#push
"""

import re
from collections.abc import AsyncIterator

import pytest

from mirror.oci.digest import Digest, digest_of
from tests.api.services import make_mirror
from tests.api.uploading import (
    CONTENT,
    DIGEST,
    NAME,
    NO_SUCH,
    UPLOADS,
    Uploading,
    chunked,
    finishing,
    sent,
    uploading_to,
)
from tests.api.wire import connected

HALF = len(CONTENT) // 2
SHA512 = digest_of(CONTENT, "sha512")
BOTH = pytest.mark.parametrize("digest", [DIGEST, SHA512], ids=["sha256", "sha512"])
BLOB = f"/v2/{NAME}/blobs/{DIGEST}"


@pytest.fixture
async def server() -> AsyncIterator[Uploading]:
    async with uploading_to(make_mirror()) as server:
        yield server


async def is_there(server: Uploading, digest: Digest, content: bytes = CONTENT) -> bool:
    head = await server.ask("HEAD", f"/v2/{NAME}/blobs/{digest}")
    assert head.status != 200 or int(head["Content-Length"]) == len(content)
    return (await server.pull(digest)).body == content


@pytest.mark.parametrize("path", [UPLOADS, UPLOADS.removesuffix("/")])
@pytest.mark.parametrize(
    "query", ["", "?digest-algorithm=sha512", "?digest-algorithm=sha256", "?x"]
)
async def test_an_upload_is_begun(server: Uploading, path: str, query: str) -> None:
    answer = await server.ask("POST", path + query, body=b"")
    assert (answer.status, answer.body, answer["Content-Length"]) == (202, b"", "0")
    location = answer["Location"]
    assert re.fullmatch(rf"{UPLOADS}[0-9a-f]{{32}}", location)
    assert answer["Docker-Upload-UUID"] == location.rpartition("/")[2]
    assert answer["Range"] == "0-0"
    assert answer["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert (await server.ask("GET", location)).status == 204


@BOTH
async def test_as_docker_does_it(server: Uploading, digest: Digest) -> None:
    """Streamed in chunks of HTTP, and finished by a request of its own."""
    location = await server.begin()
    async with connected(server.port) as line:
        chunks = [CONTENT[:1000], CONTENT[1000:7000], CONTENT[7000:]]
        patched = await line.ask(chunked("PATCH", location, chunks))
        assert (patched.status, patched["Range"]) == (202, f"0-{len(CONTENT) - 1}")
        target = finishing(patched["Location"], digest)
        answer = await line.ask(sent("PUT", target, body=b""))
    assert answer.status == 201
    assert answer["Location"] == f"/v2/{NAME}/blobs/{digest}"
    assert answer["Docker-Content-Digest"] == str(digest)
    assert await is_there(server, digest)


@BOTH
@pytest.mark.parametrize("prefix", ["", "bytes "])
@pytest.mark.parametrize("suffix", ["", "/*", f"/{len(CONTENT)}"])
async def test_in_chunks_of_which_each_says_where_it_belongs(
    server: Uploading, digest: Digest, prefix: str, suffix: str
) -> None:
    location = await server.begin()
    for start in range(0, len(CONTENT) - 2000, 2000):
        span = f"Content-Range: {prefix}{start}-{start + 1999}{suffix}"
        body = CONTENT[start : start + 2000]
        answer = await server.ask("PATCH", location, span, body=body)
        assert (answer.status, answer["Range"]) == (202, f"0-{start + 1999}")
        location = answer["Location"]
    start += 2000
    span = f"Content-Range: {prefix}{start}-{len(CONTENT) - 1}{suffix}"
    answer = await server.ask("PUT", finishing(location, digest), span, body=CONTENT[start:])
    assert answer.status == 201
    assert await is_there(server, digest)


@BOTH
async def test_begun_and_then_sent_whole(server: Uploading, digest: Digest) -> None:
    location = await server.begin()
    answer = await server.ask("PUT", finishing(location, digest), body=CONTENT)
    assert answer.status == 201
    assert await is_there(server, digest)


@BOTH
async def test_in_one_request(server: Uploading, digest: Digest) -> None:
    answer = await server.ask("POST", f"{UPLOADS}?digest={digest}", body=CONTENT)
    assert (answer.status, answer["Location"]) == (201, f"/v2/{NAME}/blobs/{digest}")
    assert answer["Docker-Content-Digest"] == str(digest)
    assert await is_there(server, digest)


async def test_a_blob_of_no_bytes(server: Uploading) -> None:
    empty = digest_of(b"")
    location = await server.begin()
    assert (await server.ask("PUT", finishing(location, empty), body=b"")).status == 201
    assert await is_there(server, empty, b"")
    again = await server.ask("POST", f"{UPLOADS}?digest={empty}", body=b"")
    assert again.status == 201


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_out_of_order(server: Uploading, method: str) -> None:
    """Replayed at the location of the beginning, which old clients go on using."""
    location = await server.begin(CONTENT[:HALF])
    target = location if method == "PATCH" else finishing(location)
    for start in (0, HALF - 1, HALF + 1):
        body = CONTENT[start : start + 10]
        answer = await server.ask(method, target, f"Content-Range: {start}-{start + 9}", body=body)
        assert (answer.status, answer.code) == (416, "RANGE_INVALID")
        assert (answer["Location"], answer["Range"]) == (location, f"0-{HALF - 1}")
        assert await server.offset(location) == HALF
    body = CONTENT[HALF:]
    span = f"Content-Range: {HALF}-{len(CONTENT) - 1}"
    assert (await server.ask("PUT", finishing(location), span, body=body)).status == 201
    assert await is_there(server, DIGEST)


async def test_a_length_that_differs_from_the_range(server: Uploading) -> None:
    location = await server.begin(CONTENT[:HALF])
    for span in (f"{HALF}-{HALF + 8}", f"{HALF}-{HALF + 10}"):
        answer = await server.ask("PATCH", location, f"Content-Range: {span}", body=b"0123456789")
        assert (answer.status, answer.code) == (400, "SIZE_INVALID")
    assert await server.offset(location) == HALF


async def test_the_status(server: Uploading) -> None:
    location = await server.begin(CONTENT)
    for method in ("GET", "HEAD"):
        answer = await server.ask(method, location)
        assert (answer.status, answer.body) == (204, b"")
        assert (answer["Location"], answer["Range"]) == (location, f"0-{len(CONTENT) - 1}")
        assert answer["Docker-Upload-UUID"] == location.rpartition("/")[2]


async def test_it_is_cancelled(server: Uploading) -> None:
    location = await server.begin(CONTENT)
    answer = await server.ask("DELETE", location)
    assert (answer.status, answer.body) == (204, b"")
    await is_unknown(server, location)


async def test_it_is_gone_once_it_is_finished(server: Uploading) -> None:
    location = await server.begin(CONTENT)
    assert (await server.ask("PUT", finishing(location), body=b"")).status == 201
    await is_unknown(server, location)


@pytest.mark.parametrize("wrong", [digest_of(b"x"), digest_of(b"x", "sha512")])
async def test_a_digest_that_is_not_that_of_the_bytes(server: Uploading, wrong: Digest) -> None:
    location = await server.begin(CONTENT)
    answer = await server.ask("PUT", finishing(location, wrong), body=b"")
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    await is_unknown(server, location)
    answer = await server.ask("POST", f"{UPLOADS}?digest={wrong}", body=CONTENT)
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    assert (await server.pull(wrong)).status == (await server.pull(DIGEST)).status == 404


async def test_an_upload_is_of_one_repository(server: Uploading) -> None:
    location = await server.begin(CONTENT)
    for other in ("theirs", "ours/ours/ours", "local/x"):
        await is_unknown(server, location.replace(f"/{NAME}/", f"/{other}/"))
    assert await server.offset(location) == len(CONTENT)


@pytest.mark.parametrize(
    "item", ["x", "0" * 31, "0" * 33, "A" * 32, "..%5cx", "%00" * 32, "%C3%A9" * 32, "-" * 32]
)
async def test_an_id_that_we_never_gave(server: Uploading, item: str) -> None:
    await is_unknown(server, UPLOADS + item)


async def is_unknown(server: Uploading, location: str) -> None:
    for method, target in (
        ("GET", location),
        ("PATCH", location),
        ("PUT", finishing(location)),
        ("DELETE", location),
    ):
        answer = await server.ask(method, target, body=b"some")
        assert (answer.status, answer.code) == (404, "BLOB_UPLOAD_UNKNOWN"), method


@pytest.mark.parametrize(
    "query",
    [
        *("", "?digest=", "?digest=sha256", "?digest=sha256:", f"?digest=sha256:{'g' * 64}"),
        *(f"?digest=sha256:{'A' * 64}", f"?digest=md5:{'0' * 32}", f"?digest=sha256:{'0' * 63}"),
        *(f"?digest={DIGEST}&digest={DIGEST}", f"?digest={DIGEST}%00", f"?Digest={DIGEST}"),
    ],
)
async def test_a_digest_that_is_none(server: Uploading, query: str) -> None:
    """It costs the client nothing but the answer."""
    location = await server.begin(CONTENT)
    answer = await server.ask("PUT", location + query, body=b"")
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    assert (await server.ask("PUT", finishing(location), body=b"")).status == 201
    if query not in ("", f"?Digest={DIGEST}"):
        answer = await server.ask("POST", UPLOADS + query, body=CONTENT)
        assert answer.status == (201 if "&" in query else 400)


@pytest.mark.parametrize("query", ["?mount=sha256:x", "?mount=", "?digest-algorithm=md5"])
async def test_what_could_never_become_a_blob_is_not_begun(server: Uploading, query: str) -> None:
    answer = await server.ask("POST", UPLOADS + query, body=b"")
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")


@pytest.mark.parametrize(
    "span",
    [
        *(
            "",
            "x",
            "0",
            "0-",
            "-9",
            "9-0",
            "0-9-",
            "0 - 9",
            "+0-9",
            "0x0-9",
            "items 0-9",
            "bytes=0-9",
        ),
        *(
            "bytes 0-9/x",
            "bytes */10",
            f"0-{'9' * 19}",
            f"{'0' * 5000}-9",
            "\u0660-\u0669",
            "0-9, 10-19",
        ),
    ],
)
async def test_a_range_that_is_none(server: Uploading, span: str) -> None:
    location = await server.begin(CONTENT)
    line = f"Content-Range: {span}".encode().decode("latin-1")
    for method, target in (("PATCH", location), ("PUT", finishing(location))):
        answer = await server.ask(method, target, line, body=b"0123456789")
        assert (answer.status, answer.code) == (416, "RANGE_INVALID")
    assert await server.offset(location) == len(CONTENT)


async def test_ranges_that_contradict_each_other(server: Uploading) -> None:
    location = await server.begin()
    lines = ("Content-Range: 0-9", "Content-Range: 10-19")
    assert (await server.ask("PATCH", location, *lines, body=b"0123456789")).status == 400


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "0x5", "5, 6", "9" * 40])
async def test_a_length_that_is_none(server: Uploading, length: str) -> None:
    location = await server.begin(CONTENT)
    answer = await server.ask("PATCH", location, f"Content-Length: {length}")
    assert (answer.status, bool(answer.errors)) == (400, True)
    assert await server.offset(location) == len(CONTENT)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        *((method, UPLOADS, "POST") for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE")),
        *((method, NO_SUCH, "GET, HEAD, PATCH, PUT, DELETE") for method in ("POST", "OPTIONS")),
    ],
)
async def test_methods_that_are_none(
    server: Uploading, method: str, path: str, allowed: str
) -> None:
    answer = await server.ask(method, path)
    assert (answer.status, answer["Allow"]) == (405, allowed)


@pytest.mark.parametrize(
    ("name", "status"),
    [("docker.io/library/nginx", 405), ("library/nginx", 403), ("some/thing", 403), ("A/b", 400)],
)
async def test_nothing_is_pushed_where_nothing_is_hosted(
    server: Uploading, name: str, status: int
) -> None:
    for method, path in (("POST", ""), ("POST", f"?digest={DIGEST}"), ("PATCH", "0" * 32)):
        answer = await server.ask(method, f"/v2/{name}/blobs/uploads/{path}", body=CONTENT)
        assert answer.status == status
        assert answer.errors
    read = await server.ask("GET", f"/v2/{name}/blobs/uploads/{'0' * 32}")
    assert read.status == (400 if status == 400 else 404)
