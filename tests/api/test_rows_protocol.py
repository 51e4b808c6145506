"""Edge cases of pulling, by their row (see `test_rows_names`): 61 to 75, the protocol itself."""

import pytest

from tests.api.site import BLOB, BY_DIGEST, INDEX, LAYER, NAME, TAGGED, Site, blob_path
from tests.api.wire import connected, exchanged, parse_answers, request
from tests.simulated_hub import blob

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATHS = ["/v2/", TAGGED, BY_DIGEST, BLOB, f"{TAGGED}x", "/v2/UPPER/x/manifests/1", "/nowhere"]


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
async def test_row_61_a_length_is_always_known(held: Site, version: str) -> None:
    """Also of what is not here yet; and the connection ends where the client said so."""
    cold = blob_path(held.hub.push_blob(NAME, blob(f"cold {version}", 50_000)))
    for path in [*PATHS, cold]:
        received, ending = await exchanged(
            held.port, request(path, "Connection: close", version=version), end=False
        )
        (answer,) = parse_answers(received, ["GET"])
        assert answer["Content-Length"] == str(len(answer.body))
        assert ending == "closed"


async def test_row_62_nobody_waits_for_leave_to_send_what_is_refused(held: Site) -> None:
    lines = ("Expect: 100-continue", "Content-Length: 5")
    async with connected(held.port) as line:
        await line.send(request(TAGGED, *lines, method="PUT"))
        head = await line.reader.readuntil(b"\r\n")
    assert head.startswith(b"HTTP/1.1 405")


async def test_row_63_what_was_not_read_is_not_taken_for_a_request(held: Site) -> None:
    body = request(BLOB)
    head = request(TAGGED, f"Content-Length: {len(body)}", method="PUT")
    received, _ = await exchanged(held.port, head + body + request(BLOB), end=False)
    (answer,) = parse_answers(received, ["PUT"])
    assert (answer.status, answer["Connection"]) == (405, "close")


@pytest.mark.parametrize("name", [NAME, "nginx", "docker.io/library/nginx", "some/thing"])
async def test_row_68_nothing_can_be_pushed_over_an_upstream(held: Site, name: str) -> None:
    before = len(held.hub.requests)
    for method, path in (
        ("PUT", f"/v2/{name}/manifests/1"),
        ("POST", f"/v2/{name}/blobs/uploads/"),
        ("POST", f"/v2/{name}/blobs/uploads/?mount={INDEX.digest}&from=a/b"),
        ("PATCH", f"/v2/{name}/blobs/uploads/x"),
        ("DELETE", f"/v2/{name}/manifests/{INDEX.digest}"),
    ):
        for lines in ((), ("Authorization: Basic YTpi",)):
            answer = await held.ask(path, *lines, method=method)
            assert (answer.status, answer.code) == (405, "UNSUPPORTED")
    assert len(held.hub.requests) == before
    assert (await held.ask(TAGGED)).body == INDEX.content


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"/v2/{NAME}/tags/list", "NAME_UNKNOWN"),
        (f"/v2/{NAME}/tags/list?n=99999999999&last=%00", "NAME_UNKNOWN"),
        (f"/v2/{NAME}/tags/list?n=-1", "NAME_UNKNOWN"),
    ],
)
async def test_row_69_tags_are_not_listed(held: Site, path: str, code: str) -> None:
    """T22. So no number of them is too many."""
    before = len(held.hub.requests)
    answer = await held.ask(path)
    assert (answer.status, answer.code) == (404, code)
    assert len(held.hub.requests) == before


async def test_row_70_referrers_are_not_listed_and_clients_go_on(held: Site) -> None:
    answer = await held.ask(f"/v2/{NAME}/referrers/{INDEX.digest}?artifactType=a/b")
    assert (answer.status, answer.code) == (404, "MANIFEST_UNKNOWN")


@pytest.mark.parametrize("query", ["", "?n=2147483648", "?n=-1", "?n=1e9&last=garbage"])
async def test_row_71_there_is_no_catalog(held: Site, query: str) -> None:
    before = len(held.hub.requests)
    assert (await held.ask(f"/v2/_catalog{query}")).status == 404
    assert len(held.hub.requests) == before


async def test_row_72_a_slash_too_many_and_a_query_that_means_nothing(held: Site) -> None:
    assert (await held.ask(f"{TAGGED}/")).status == 404
    assert (await held.ask(f"{BLOB}/")).status == 404
    for query in ("?", "?a=b", "?n=1&last=x", "?%zz", "?;;&&=&", "?digest=x"):
        assert (await held.ask(f"{TAGGED}{query}")).body == INDEX.content


async def test_row_73_long_tokens_pass_and_longer_ones_are_refused(held: Site) -> None:
    assert (await held.ask(TAGGED, "Authorization: Bearer " + "x" * 12_000)).status == 200
    refused = await held.ask(TAGGED, "Authorization: Bearer " + "x" * 20_000)
    assert refused.status == 400
    assert refused.errors


@pytest.mark.parametrize("host", ["[fd00::1]:5000", "[::1]", "mirror.example:5000"])
async def test_row_74_the_host_is_whatever_the_client_calls_us(held: Site, host: str) -> None:
    async with connected(held.port) as line:
        answer = await line.ask(request(TAGGED, host=host))
    assert answer.body == INDEX.content
    assert answer.get("Location") is None


async def test_row_75_nobody_on_the_way_may_compress(held: Site) -> None:
    for path, content in ((TAGGED, INDEX.content), (BY_DIGEST, INDEX.content), (BLOB, LAYER)):
        answer = await held.ask(path, "Accept-Encoding: gzip")
        assert "no-transform" in answer["Cache-Control"].split(", ")
        assert answer.get("Content-Encoding") is None
        assert answer.body == content
