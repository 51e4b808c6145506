"""Alive and ready: for everyone, whatever upstreams and disks do."""

from dataclasses import replace

import pytest

from tests.api.admin_client import AdminClient
from tests.api.conftest import Connect
from tests.api.services import ELSEWHERE, MemoryMirror, Wishes, make_mirror
from tests.registry.scripted_upstream import WELL


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_a_mirror_that_runs_says_ok(client: AdminClient, path: str) -> None:
    reply = await client.get(path)
    assert (reply.status, reply.text) == (200, "ok\n")
    assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert reply.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_head_says_the_same_without_words(client: AdminClient, path: str) -> None:
    reply = await client.ask("HEAD", path)
    assert (reply.status, reply.body) == (200, b"")


async def test_what_keeps_it_from_serving_is_told(
    mirror: MemoryMirror, client: AdminClient
) -> None:
    mirror.not_ready = "stopping"
    reply = await client.get("/readyz")
    assert (reply.status, reply.text) == (503, "stopping\n")
    assert (await client.ask("HEAD", "/readyz")).status == 503
    assert (await client.get("/livez")).status == 200


async def test_neither_depends_on_an_upstream(mirror: MemoryMirror, client: AdminClient) -> None:
    for upstream in mirror.upstreams.values():
        upstream.status_now = replace(WELL, state="failing", reason="no route to host")
    assert (await client.get("/livez")).status == 200
    assert (await client.get("/readyz")).status == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
async def test_monitors_need_not_be_trusted(connect: Connect, path: str) -> None:
    client = await connect(make_mirror(Wishes(trusted=ELSEWHERE)))
    assert (await client.get(path)).status == 200


async def test_other_methods_are_refused_in_json(client: AdminClient) -> None:
    reply = await client.post("/readyz")
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")
    assert reply.problem.startswith("UNSUPPORTED")


@pytest.mark.parametrize(
    "path", ["/livez", "/metrics", "/api/v1/stats", "/api/v1/openapi.json", "/v2/", "/nothing"]
)
async def test_no_answer_tells_what_it_is_made_of(client: AdminClient, path: str) -> None:
    assert (await client.get(path)).headers["Server"] == "mirror"
