"""Who may use the admin API: by the address of the connection, and by nothing a client says."""

import pytest

from tests.api.admin_client import AdminClient
from tests.api.conftest import Connect
from tests.api.services import ELSEWHERE, Wishes, make_mirror

PATHS = [
    ("GET", "/api/v1/stats"),
    ("GET", "/api/v1/images"),
    ("GET", "/api/v1/images/nginx"),
    ("GET", "/api/v1/openapi.json"),
    ("HEAD", "/api/v1/stats"),
    ("POST", "/api/v1/evict"),
    ("POST", "/api/v1/evict?dry_run=true"),
    ("POST", "/api/v1/gc"),
    ("POST", "/api/v1/gc?dry_run=true"),
]
FORGERIES = [
    {"X-Forwarded-For": "192.0.2.7"},
    {"X-Real-IP": "192.0.2.7"},
    {"Forwarded": "for=192.0.2.7"},
    {"Host": "192.0.2.7"},
    {"Authorization": "Basic YWRtaW46YWRtaW4="},
]


@pytest.fixture
async def stranger(connect: Connect) -> AdminClient:
    """A client on loopback of a mirror that trusts another network."""
    return await connect(make_mirror(Wishes(trusted=ELSEWHERE)))


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_a_stranger_is_refused(stranger: AdminClient, method: str, path: str) -> None:
    assert (await stranger.ask(method, path)).status == 403


async def test_a_stranger_is_told_the_line_to_add(stranger: AdminClient) -> None:
    assert (await stranger.get("/api/v1/stats")).problem == (
        "DENIED: the admin API is for trusted networks only: add the client's network to"
        " auth.trusted_networks in mirror.yaml:"
        " auth: {trusted_networks: [192.0.2.0/24, 127.0.0.1/32]}"
    )


@pytest.mark.parametrize("headers", FORGERIES)
async def test_no_header_makes_a_stranger_trusted(
    stranger: AdminClient, headers: dict[str, str]
) -> None:
    reply = await stranger.ask("GET", "/api/v1/stats", headers)
    assert reply.status == 403
    assert "trusted networks only" in reply.problem
    assert "127.0.0.1/32" in reply.problem


async def test_a_refused_eviction_evicts_nothing(stranger: AdminClient) -> None:
    body = b'{"dry_run": false}'
    reply = await stranger.post("/api/v1/evict", body)
    assert reply.problem.startswith("DENIED")


@pytest.mark.parametrize(("method", "path"), PATHS[:-2])
async def test_a_trusted_client_is_let_in(client: AdminClient, method: str, path: str) -> None:
    assert (await client.ask(method, path)).status in (200, 404)


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "Via"])
async def test_what_came_through_a_proxy_is_nobodys(client: AdminClient, name: str) -> None:
    reply = await client.ask("GET", "/api/v1/stats", {name: "127.0.0.1"})
    assert reply.status == 403
    assert "proxy" in reply.problem


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_page_of_another_site_cannot_order_anything(
    client: AdminClient, headers: dict[str, str]
) -> None:
    reply = await client.ask("POST", "/api/v1/evict?dry_run=true", headers)
    assert reply.status == 403


async def test_a_page_of_our_own_can(client: AdminClient) -> None:
    own = f"http://127.0.0.1:{client.server.port}"
    headers = {"Origin": own, "Sec-Fetch-Site": "same-origin"}
    assert (await client.ask("POST", "/api/v1/evict?dry_run=true", headers)).status == 200


@pytest.mark.parametrize("path", ["/api/v1/", "/api/v1/nothing", "/api/v1/stats/", "/api/v2/stats"])
async def test_an_unknown_path_is_answered_in_json(client: AdminClient, path: str) -> None:
    reply = await client.get(path)
    assert (reply.status, reply.json["errors"][0]["code"]) == (404, "NAME_UNKNOWN")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("POST", "/api/v1/stats", "GET, HEAD"), ("GET", "/api/v1/evict", "POST")],
)
async def test_a_wrong_method_is_answered_in_json(
    client: AdminClient, method: str, path: str, allowed: str
) -> None:
    reply = await client.ask(method, path)
    assert (reply.status, reply.headers["Allow"]) == (405, allowed)
    assert reply.problem.startswith("UNSUPPORTED")
