"""The OpenAPI document says what the server does: every route, every answer, every field."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.api.admin import admin_routes
from mirror.api.openapi import describe
from mirror.ports.upstream import Quota
from mirror.registry.room import Limits
from tests.api.admin_client import AdminClient, Reply
from tests.api.conftest import Connect
from tests.api.schema import resolve, violations
from tests.api.services import (
    ELSEWHERE,
    MemoryMirror,
    Wishes,
    make_mirror,
    repository,
)
from tests.registry.scripted_upstream import WELL
from tests.simulated_hub import blob, make_image, make_index
from tests.world import START

DOCUMENT = describe()
IMAGE = make_image(layers=[blob("layer", 5000)])
INDEX = make_index([IMAGE])
TIGHT = Limits(max_size=100, low_size=50, min_free=0)


def operations() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def schema_of(method: str, path: str, status: int) -> Mapping[str, Any]:
    response = DOCUMENT["paths"][path][method.lower()]["responses"][str(status)]
    if "$ref" in response:
        response = resolve(response["$ref"], DOCUMENT)
    schema = response["content"]["application/json"]["schema"]
    assert isinstance(schema, Mapping)
    return schema


def complaints(reply: Reply, method: str, path: str) -> list[str]:
    return list(violations(reply.json, schema_of(method, path, reply.status), DOCUMENT))


@pytest.fixture
async def mirror() -> MemoryMirror:
    """With something to say in every field."""
    mirror = make_mirror(Wishes(limits=TIGHT))
    nginx = repository("docker.io/library/nginx")
    await mirror.hold_index(nginx, "latest", INDEX)
    await mirror.hold(nginx, None, IMAGE)
    await mirror.hold(repository("ghcr.io/team/app"), "v1", IMAGE)
    await mirror.hold(repository("ghcr.io/team/app"), None, make_image(layers=[blob("x", 10)]))
    mirror.clock.advance(timedelta(hours=1))
    quota = Quota(100, 0, 21600, None, START)
    mirror.upstreams["docker.io"].status_now = replace(
        WELL, state="throttled", reason="wait", retry_at=START, quota=quota
    )
    return mirror


def test_every_route_of_the_admin_api_is_described_and_nothing_else() -> None:
    served = {
        (route.method, route.path.replace(":.+}", "}"))
        for route in admin_routes()
        if route.path.startswith("/api/")
    }
    assert served == {(method, path) for method, path, _ in operations()}


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    references = set(find_references(DOCUMENT))
    assert all(resolve(reference, DOCUMENT) for reference in references)
    used = {reference.rpartition("/")[2] for reference in references}
    assert used == {*DOCUMENT["components"]["schemas"], "Problem"}


def find_references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from (value for key, value in part.items() if key == "$ref")
        part = list(part.values())
    for item in part if isinstance(part, list) else ():
        yield from find_references(item)


def test_every_operation_has_a_name_of_its_own_and_says_what_it_is_for() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names))
    assert all(operation["summary"] for _, _, operation in operations())
    assert all({"200", "403", "503"} <= set(item["responses"]) for _, _, item in operations())


def test_every_parameter_in_a_path_is_described() -> None:
    for _, path, operation in operations():
        named = {item["name"] for item in operation.get("parameters", ()) if item["in"] == "path"}
        assert named == ({"name"} if "{name}" in path else set())


async def test_the_document_is_served(client: AdminClient) -> None:
    reply = await client.get("/api/v1/openapi.json")
    assert reply.json == DOCUMENT
    assert reply.json["openapi"].startswith("3.1.")


@pytest.mark.parametrize(
    ("method", "request_path", "path", "status"),
    [
        ("GET", "/api/v1/stats", "/api/v1/stats", 200),
        ("GET", "/api/v1/images", "/api/v1/images", 200),
        ("GET", "/api/v1/images?n=1", "/api/v1/images", 200),
        ("GET", "/api/v1/images?n=x", "/api/v1/images", 400),
        ("GET", "/api/v1/images/nginx", "/api/v1/images/{name}", 200),
        ("GET", "/api/v1/images/nginx:-", "/api/v1/images/{name}", 400),
        ("GET", "/api/v1/images/nothing", "/api/v1/images/{name}", 404),
        ("POST", "/api/v1/evict?dry_run=true", "/api/v1/evict", 200),
        ("POST", "/api/v1/evict", "/api/v1/evict", 200),
        ("POST", "/api/v1/evict?dry_run=maybe", "/api/v1/evict", 400),
        ("POST", "/api/v1/gc?dry_run=true", "/api/v1/gc", 200),
        ("POST", "/api/v1/gc", "/api/v1/gc", 200),
        ("POST", "/api/v1/gc?dry_run=maybe", "/api/v1/gc", 400),
    ],
)
async def test_answers_are_as_described(
    client: AdminClient, method: str, request_path: str, path: str, status: int
) -> None:
    reply = await client.ask(method, request_path)
    assert reply.status == status
    assert complaints(reply, method, path) == []


@pytest.mark.parametrize(("method", "path"), [item[:2] for item in operations()])
async def test_refusals_are_as_described(connect: Connect, method: str, path: str) -> None:
    stranger = await connect(make_mirror(Wishes(trusted=ELSEWHERE)))
    reply = await stranger.ask(method, path.replace("{name}", "nginx"))
    assert reply.status == 403
    assert complaints(reply, method, path) == []


@given(st.booleans())
def test_the_body_of_an_eviction_is_as_described(flag: bool) -> None:  # noqa: FBT001 - that is what is drawn
    schema = resolve("#/components/schemas/EvictionRequest", DOCUMENT)
    assert list(violations({"dry_run": flag}, schema, DOCUMENT)) == []
    assert list(violations({"dry_run": "true"}, schema, DOCUMENT)) != []


def test_the_check_itself_notices_what_is_wrong() -> None:
    schema = resolve("#/components/schemas/Quota", DOCUMENT)
    good = {
        "limit": 100,
        "remaining": 1,
        "window_seconds": 1,
        "source": None,
        "observed_at": "2026-01-01T00:00:00Z",
    }
    assert list(violations(good, schema, DOCUMENT)) == []
    for change in (
        {"limit": "100"},
        {"limit": True},
        {"limit": -1},
        {"source": 7},
        {"observed_at": "2026-01-01T00:00:00"},
        {"other": 1},
    ):
        assert list(violations(good | change, schema, DOCUMENT)) != [], change
    del good["limit"]
    assert list(violations(good, schema, DOCUMENT)) == ["$: limit is missing"]
