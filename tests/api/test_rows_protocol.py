"""Edge cases of pulling, by their row (see `test_rows_names`): 61 to 75, the protocol itself."""

import json

import pytest

from tests.api.site import BLOB, BY_DIGEST, INDEX, LAYER, NAME, TAGGED, Site, blob_path
from tests.api.wire import connected, exchanged, parse_answers, request
from tests.simulated_hub import Fault, blob

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
    assert head.startswith(b"HTTP/1.1 403")


async def test_row_63_what_was_not_read_is_not_taken_for_a_request(held: Site) -> None:
    body = request(BLOB)
    head = request(TAGGED, f"Content-Length: {len(body)}", method="PUT")
    received, _ = await exchanged(held.port, head + body + request(BLOB), end=False)
    (answer,) = parse_answers(received, ["PUT"])
    assert (answer.status, answer["Connection"]) == (403, "close")


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        (NAME, 403, "DENIED"),
        ("some/thing", 403, "DENIED"),
        ("docker.io/library/nginx", 405, "UNSUPPORTED"),
    ],
)
async def test_row_68_nothing_can_be_pushed_over_an_upstream(
    held: Site, name: str, status: int, code: str
) -> None:
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
            # Nobody declares a namespace in order to delete from it.
            expected = (405, "UNSUPPORTED") if method == "DELETE" else (status, code)
            assert (answer.status, answer.code) == expected
    assert len(held.hub.requests) == before
    assert (await held.ask(TAGGED)).body == INDEX.content


async def test_row_69_tags_are_those_of_the_upstream(held: Site) -> None:
    """In pages of ours, whose links lead to us; and no number is too large to be asked for."""
    for tag in ("a", "b", "c"):
        held.hub.push("library/tagged", tag, INDEX)
    path = "/v2/library/tagged/tags/list"
    first = await held.ask(f"{path}?n=2")
    assert json.loads(first.body) == {"name": "library/tagged", "tags": ["a", "b"]}
    assert first["Link"] == f'<{path}?n=2&last=b>; rel="next"'
    for query in ("?n=2&last=b", "?last=b&n=99999999999"):
        rest = await held.ask(path + query)
        assert (json.loads(rest.body)["tags"], rest.get("Link")) == (["c"], None)


@pytest.mark.parametrize("query", ["?n=-1", "?n=x", "?n=1e9"])
async def test_row_69_a_number_that_is_none(held: Site, query: str) -> None:
    answer = await held.ask(f"/v2/{NAME}/tags/list{query}")
    assert (answer.status, answer.code) == (400, "PAGINATION_NUMBER_INVALID")


HELPLESS: list[Fault] = [
    Fault(kind="status", route="referrers", status=404),
    Fault(kind="html", route="referrers"),
    Fault(kind="html", route="referrers", status=404),
]


@pytest.mark.parametrize("fault", HELPLESS, ids=range(len(HELPLESS)))
async def test_row_70_an_upstream_that_cannot_list_referrers(held: Site, fault: Fault) -> None:
    """Clients go on to the tag that lists them instead, and not if they hear of a defect."""
    held.hub.faults.add(fault)
    answer = await held.ask(f"/v2/{NAME}/referrers/sha256:{'1' * 63}{HELPLESS.index(fault)}")
    held.hub.faults.remove(fault)
    assert answer.status == 404
    assert answer.errors


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 200),
        ("?n=2147483648", 200),
        ("?last=docker.io/library/nginx", 200),
        ("?n=-1", 400),
        ("?n=1e9&last=garbage", 400),
    ],
)
async def test_row_71_the_catalog_is_never_asked_of_anybody(
    held: Site, query: str, status: int
) -> None:
    before = len(held.hub.requests)
    answer = await held.ask(f"/v2/_catalog{query}")
    assert answer.status == status
    if status == 200:
        expected = [] if "last" in query else ["docker.io/library/nginx"]
        assert json.loads(answer.body) == {"repositories": expected}
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
