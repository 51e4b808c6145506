"""Requests about uploads made of anything: never a failure of ours, and never a wrong blob."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.oci.digest import digest_of
from tests.api.services import make_mirror
from tests.api.uploading import CONTENT, DIGEST, UPLOADS, Uploading, sent, uploading_to
from tests.api.wire import NotHttpError, connected, parse_answers

UPLOAD = "{upload}"
TEXT = st.text(st.characters(codec="latin-1", exclude_categories=["Cc", "Cs"]), max_size=30)
DIGESTS = st.one_of(
    st.sampled_from([str(DIGEST), str(digest_of(CONTENT, "sha512")), f"sha256:{'0' * 64}"]),
    st.from_regex(r"[a-z0-9+._-]{0,10}:[A-Za-z0-9]{0,70}", fullmatch=True),
    TEXT,
)
NUMBERS = st.one_of(st.integers(-2, 20_000), st.integers(0, 1 << 70))
RANGES = st.one_of(
    st.builds("{}-{}".format, NUMBERS, NUMBERS),
    st.builds("bytes {}-{}/*".format, NUMBERS, NUMBERS),
    TEXT,
)
QUERIES = st.dictionaries(
    st.sampled_from(["digest", "mount", "from", "digest-algorithm", "ns", "n", "_state"]),
    st.one_of(DIGESTS, st.sampled_from(["ours", "library/nginx", "sha512", ""]), TEXT),
    max_size=3,
)
ITEMS = st.one_of(st.sampled_from([UPLOAD, UPLOAD, "", "0" * 32, "x"]), TEXT)
METHODS = st.sampled_from(["GET", "HEAD", "POST", "PATCH", "PATCH", "PUT", "PUT", "DELETE"])
BODIES = st.sampled_from([b"", b"x", CONTENT, CONTENT[:100]])


def escaped(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


async def send(
    server: Uploading,
    upload: str,
    method: str,
    item: str,
    query: Mapping[str, str],
    span: str | None,
    body: bytes,
) -> int:
    """The status; of what no connection would carry there is none."""
    parameters = "&".join(f"{key}={escaped(value)}" for key, value in query.items())
    path = upload if item == UPLOAD else UPLOADS + escaped(item)
    lines = [] if span is None else [f"Content-Range: {span}"]
    async with connected(server.port) as line:
        await line.send(sent(method, f"{path}?{parameters}", *lines, body=body))
        line.end()
        received, _ = await line.rest()
    try:
        answer, *_ = parse_answers(received, [method])
    except (NotHttpError, ValueError):
        pytest.fail(f"no answer: {received!r}")
    if answer.status >= 400 and method != "HEAD":
        assert answer.errors
    return answer.status


REQUESTS = st.tuples(METHODS, ITEMS, QUERIES, st.one_of(st.none(), RANGES), BODIES)


@given(requests=st.lists(REQUESTS, min_size=1, max_size=8))
@settings(max_examples=60)
async def test_whatever_is_asked_the_answer_is_one_of_the_client(
    requests: list[tuple[str, str, Mapping[str, str], str | None, bytes]],
) -> None:
    async with uploading_to(make_mirror()) as server:
        upload = await server.begin(CONTENT[:50])
        for method, item, query, span, body in requests:
            status = await send(server, upload, method, item, query, span, body)
            assert 200 <= status < 500
        pulled = await server.pull(DIGEST)
        assert pulled.body == CONTENT or pulled.status == 404
