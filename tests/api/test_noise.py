"""Noise between right and wrong requests, the same in every run: thousands of each kind."""

import asyncio
import random
import re

import pytest

from tests.api.mixed import MIXED
from tests.api.site import BLOB, BY_DIGEST, INDEX, LAYER, TAGGED, Site
from tests.api.wire import NotHttpError, exchanged, parse_answer, parse_answers, request

SHARED = pytest.mark.asyncio(loop_scope="module")
PING = request("/v2/")

ALPHABET = [
    *(b"GET ", b"HEAD ", b"PUT ", b"POST ", b" ", b"/", b"/v2/", b"//", b"..", b"%2e%2e", b"%00"),
    *(TAGGED.encode(), BLOB.encode(), BY_DIGEST.encode(), b"/v2/library/x/manifests/1", b"?ns="),
    *(b"docker.io", b" HTTP/1.1", b" HTTP/1.0", b" HTTP/1.1\r\n", b"\r\n", b"\n", b"\r", b":"),
    *(b"Host: a\r\n", b"Host: a\r\n\r\n", b"\r\n\r\n", b"Content-Length: 3\r\n", b"abc", b"\0"),
    *(b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"3\r\nabc\r\n", b"Connection: close\r\n"),
    *(b"Range: bytes=1-2\r\n", b"Range: bytes=,\r\n", b"If-None-Match: *\r\n", b"Expect: x\r\n"),
    *(
        b"Accept: */*\r\n",
        b"User-Agent: \xff\r\n",
        b"Cookie: a\r\n",
        b"Upgrade: x\r\n",
        b"\xff\xfe",
    ),
    *(b"Connection: keep-alive, Upgrade\r\n", b"Expect: 100-continue\r\n", b"\t", b"#", b"*"),
    *(PING, request(TAGGED), request(BLOB), request(TAGGED, method="HEAD")),
]


def mutated(source: random.Random) -> bytes:
    """Something between a request and noise."""
    kind = source.random()
    if kind < 0.15:
        return source.randbytes(source.randrange(200))
    if kind < 0.5:
        return b"".join(source.choices(ALPHABET, k=source.randrange(1, 10)))
    data = bytearray(source.choice(MIXED)[0])
    for _ in range(source.randrange(1, 4)):
        at = source.randrange(len(data))
        match source.randrange(4):
            case 0:
                data[at] = source.randrange(256)
            case 1:
                del data[at : at + source.randrange(1, 8)]
            case 2:
                data[at:at] = source.choice(ALPHABET)
            case _:
                data[at:at] = data[at : at + 20]
        if not data:
            break
    return bytes(data)


def methods_of(received: bytes) -> list[str]:
    """Of HEAD and GET, for each answer the one that makes what follows it an answer too."""
    methods: list[str] = []
    while received:
        for method in ("HEAD", "GET"):
            try:
                parsed = parse_answer(received, method)
            except NotHttpError:
                continue
            if parsed is not None and (not parsed[1] or parsed[1].startswith(b"HTTP/")):
                methods.append(method)
                received = parsed[1]
                break
        else:
            raise NotHttpError(received[:300])
    return methods


async def fuzz(site: Site, seed: int, count: int) -> None:
    source = random.Random(seed)  # noqa: S311 - guards nothing
    for _ in range(count):
        data = b"".join(mutated(source) for _ in range(source.randrange(1, 3)))
        received, _ = await exchanged(site.port, data)
        for answer in parse_answers(received, methods_of(received)):
            assert answer.status < 500, (data, answer)
            assert answer.status < 400 or not answer.body or answer.errors, (data, answer)
        # Whatever has the end of a head and promises no body is a request, and gets an answer.
        has_body = b"content-length" in data.lower() or b"transfer-encoding" in data.lower()
        assert received or has_body or b"\r\n\r\n" not in data.lstrip(b"\r\n"), data


NAMES = [
    *("library/nginx", "library/x", "nginx", "docker.io/library/nginx", "ghcr.io/a/b", "local/a"),
    *(
        "UPPER/x",
        "a..b/c",
        "../../etc",
        "%2e%2e/x",
        "a%2fb",
        "a%252fb",
        "x/manifests/y",
        "",
        "a//b",
    ),
    *("a/b/c/d", "%00/x", "%ff/x", "x%0d%0aSet-Cookie:a", "-a/b", "a_/b", "a" * 256, "x/" * 130),
]
REFERENCES = [
    *("1", "latest", ".x", "", "x" * 129, "%0a", "sha256:short", f"sha256:{'A' * 64}", "a b"[:1]),
    *(INDEX.digest, INDEX.digest.replace(":", "%3A"), f"sha512:{'a' * 64}", "md5:abc", "..", "%25"),
]
KINDS = ["manifests", "blobs", "tags", "referrers", "blobs/uploads", "manifest", "blobs//", ""]
QUERIES = ["", "?", "?ns=docker.io", "?ns=x", "?ns=%ff", "?ns=docker.io&ns=a", "?%zz", "?a=b;c"]
LINES = [
    "Accept: " + "x" * 4000,
    "Accept-Encoding: \xff\xfe",
    "User-Agent: \t\xe2\x80\xa8",
    "Range: bytes=-0",
    "Range: bytes=" + "9" * 300 + "-",
    "Range: bytes=1-2,3-4",
    "If-Range: x",
    "If-None-Match: \\",
    "If-None-Match: *",
    "Authorization: Basic ====",
    "Cookie: a=b; a=b; =",
    "Via: 1.1 mirror-000000000000",
    "Content-Type: x/y; charset=\xff",
    "Content-Length: 0",
    "Forwarded: for=x",
    "TE: trailers",
]


def strange(source: random.Random) -> tuple[str, bytes]:
    """A request that is HTTP, with its method."""
    method = source.choices(["GET", "HEAD", "PUT", "DELETE", "OPTIONS"], [10, 5, 1, 1, 1])[0]
    name, kind = source.choice(NAMES), source.choice(KINDS)
    target = f"/v2/{name}/{kind}/{source.choice(REFERENCES)}{source.choice(QUERIES)}"
    return method, request(target, *source.sample(LINES, source.randrange(4)), method=method)


async def pipelined(site: Site, seed: int, batches: int) -> int:
    """How many were answered, each in its place."""
    source, count = random.Random(seed), 0  # noqa: S311 - guards nothing
    for _ in range(batches):
        chosen = [strange(source) for _ in range(50)]
        methods = [method for method, _ in chosen]
        received, _ = await exchanged(site.port, b"".join(each for _, each in chosen))
        answers = parse_answers(received, methods)
        assert len(answers) == len(chosen)
        for answer, (method, data) in zip(answers, chosen, strict=True):
            assert answer.status < 500, (data, answer)
            assert answer.status < 400 or method == "HEAD" or answer.errors, (data, answer)
        count += len(answers)
    return count


@SHARED
async def test_strange_requests_are_answered_one_by_one(held: Site) -> None:
    """And only those for names that can exist upstream lead there."""
    before = len(held.hub.requests)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(pipelined(held, seed, 50)) for seed in range(8)]
    assert sum(task.result() for task in tasks) == 20_000
    for asked in held.hub.requests[before:]:
        if asked.route not in ("token", "ping"):
            assert asked.route in ("manifest", "blob", "tags", "referrers"), asked.target
            assert re.fullmatch(NAME_GRAMMAR, asked.name), asked.target
            assert re.fullmatch(REFERENCE_GRAMMAR, asked.reference), asked.target


COMPONENT = "[a-z0-9]+(?:(?:[.]|_|__|-+)[a-z0-9]+)*"
NAME_GRAMMAR = f"(?=.{{1,255}}$){COMPONENT}(?:/{COMPONENT})*"
REFERENCE_GRAMMAR = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}"


@SHARED
async def test_noise_is_answered_or_hung_up_on(held: Site) -> None:
    """No 5xx, no silence where HTTP allows an answer, no wait, nothing unbidden to the upstream."""
    before = len(held.hub.requests)
    async with asyncio.TaskGroup() as group:
        for seed in range(8):
            group.create_task(fuzz(held, seed, 200))
    for asked in held.hub.requests[before:]:
        assert asked.route in ("manifest", "blob", "token", "ping"), asked.target
        assert asked.method in ("GET", "HEAD")
        assert asked.body == b""
    assert (await held.ask(BLOB)).body == LAYER
