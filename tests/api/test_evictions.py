"""``POST /api/v1/evict``: what would go, what went, and that a misspelt wish evicts nothing."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from mirror.oci.digest import parse_digest
from mirror.ports.metadata import Totals
from mirror.registry.room import Limits
from tests.api.admin_client import AdminClient
from tests.api.conftest import Connect
from tests.api.services import MemoryMirror, Wishes, hosted, make_mirror, repository
from tests.registry.scripted_upstream import WELL
from tests.simulated_hub import blob, make_image

OLD = make_image(layers=[blob("old", 40_000)])
NEW = make_image(layers=[blob("new", 40_000)])
TIGHT = Limits(max_size=60_000, low_size=50_000, min_free=0)
NGINX = repository("docker.io/library/nginx")
APP = repository("ghcr.io/team/app")
OLD_SIZE = OLD.size + sum(map(len, OLD.blobs.values()))
NEW_SIZE = NEW.size + sum(map(len, NEW.blobs.values()))


@pytest.fixture
async def mirror() -> MemoryMirror:
    """Two images where there is room for one; the older one is nginx."""
    mirror = make_mirror(Wishes(limits=TIGHT))
    await mirror.hold(NGINX, "1.26", OLD)
    mirror.clock.advance(timedelta(hours=1))
    await mirror.hold(APP, "v1", NEW)
    mirror.clock.advance(timedelta(hours=1))
    return mirror


async def stored(mirror: MemoryMirror) -> Totals:
    return await mirror.services.inventory.totals()


async def test_a_dry_run_says_what_would_go_and_leaves_it(
    mirror: MemoryMirror, client: AdminClient
) -> None:
    before = await stored(mirror)
    report = (await client.post("/api/v1/evict", b'{"dry_run": true}')).json
    assert report == {
        "dry_run": True,
        "reason": "cache.max_size is exceeded",
        "needed_bytes": OLD_SIZE + NEW_SIZE - 50_000,
        "freed_bytes": OLD_SIZE,
        "count": 1,
        "victims": [
            {
                "repository": "docker.io/library/nginx",
                "tags": ["1.26"],
                "digest": OLD.digest,
                "bytes": OLD_SIZE,
                "last_used_at": "2026-01-01T00:00:00Z",
            }
        ],
        "kept": [],
    }
    assert await stored(mirror) == before
    assert (await client.get("/api/v1/stats")).json["evictions"] == {"count": 0, "bytes": 0}


async def test_what_a_dry_run_names_is_what_goes(mirror: MemoryMirror, client: AdminClient) -> None:
    planned = (await client.post("/api/v1/evict?dry_run=true")).json
    report = (await client.post("/api/v1/evict")).json
    assert report == planned | {"dry_run": False}
    assert (await stored(mirror)).bytes == NEW_SIZE
    assert (await client.get("/api/v1/images/nginx")).status == 404
    stats = (await client.get("/api/v1/stats")).json
    assert stats["evictions"]["bytes"] == OLD_SIZE
    assert (await client.post("/api/v1/evict")).json["count"] == 0


async def test_nothing_goes_while_nothing_is_above_its_limits(connect: Connect) -> None:
    mirror = make_mirror()
    await mirror.hold(NGINX, "1.26", OLD)
    client = await connect(mirror)
    report = (await client.post("/api/v1/evict", b'{"dry_run": false}')).json
    assert (report["count"], report["victims"]) == (0, [])
    assert report["reason"] == "nothing is above its limits"
    assert (await stored(mirror)).bytes == OLD_SIZE


async def test_what_is_kept_is_told_with_the_reason(
    mirror: MemoryMirror, client: AdminClient
) -> None:
    mirror.upstreams["docker.io"].status_now = replace(WELL, state="failing", reason="down")
    report = (await client.post("/api/v1/evict?dry_run=true")).json
    assert [victim["repository"] for victim in report["victims"]] == ["ghcr.io/team/app"]
    assert report["kept"] == [{"reason": "docker.io could not give it again now", "count": 1}]


async def test_a_blob_that_no_manifest_needs_has_no_name(
    mirror: MemoryMirror, client: AdminClient
) -> None:
    await mirror.metadata.delete_manifest(NGINX, parse_digest(OLD.digest))
    report = (await client.post("/api/v1/evict?dry_run=true")).json
    assert [victim["repository"] for victim in report["victims"]] == [None]


async def test_hosted_content_stays(client: AdminClient, mirror: MemoryMirror) -> None:
    await mirror.hold(hosted("local/app"), "v1", NEW)
    await client.post("/api/v1/evict")
    assert (await client.get("/api/v1/images/local/app:v1")).status == 200


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("", b"{"),
        ("", b"null"),
        ("", b"[]"),
        ("", b'"true"'),
        ("", b'{"dry_run": "true"}'),
        ("", b'{"dry_run": 1}'),
        ("", b'{"dry_run": null}'),
        ("", b'{"dryrun": true}'),
        ("", b'{"dry_run": true, "force": true}'),
        ("", b"dry_run=true"),
        ("", b"\xff\xfe"),
        ("", b" " * 5000),
        ("", b"[" * 4000),
        ("?dry_run", None),
        ("?dry_run=", None),
        ("?dry_run=1", None),
        ("?dry_run=yes", None),
        ("?dry_run=TRUE", None),
        ("?dryrun=true", None),
        ("?dry_run=true&dry_run=false", None),
        ("?dry_run=true&x=1", None),
        ("?dry_run=true", b'{"dry_run": false}'),
    ],
)
async def test_a_malformed_wish_is_refused_and_nothing_goes(
    mirror: MemoryMirror, client: AdminClient, query: str, body: bytes | None
) -> None:
    before = await stored(mirror)
    reply = await client.post(f"/api/v1/evict{query}", body)
    assert (reply.status, reply.json["errors"][0]["code"]) == (400, "UNSUPPORTED")
    assert await stored(mirror) == before


@pytest.mark.parametrize("body", [b"{}", b'{"dry_run": false}', b' {"dry_run":false}\n'])
async def test_an_eviction_is_wished_for_in_several_ways(
    mirror: MemoryMirror, client: AdminClient, body: bytes
) -> None:
    assert (await client.post("/api/v1/evict", body)).json["dry_run"] is False
    assert (await stored(mirror)).bytes == NEW_SIZE


async def test_an_endless_body_is_cut_off(mirror: MemoryMirror, client: AdminClient) -> None:
    before = await stored(mirror)
    reader, writer = await asyncio.open_connection("127.0.0.1", client.server.port)
    writer.write(b"POST /api/v1/evict HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n")
    writer.writelines([b"400\r\n" + b" " * 1024 + b"\r\n"] * 5)
    await writer.drain()
    answer = await reader.readuntil(b"]}")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Connection: close" in answer
    assert b"longer than 4096 bytes" in answer
    writer.close()
    await writer.wait_closed()
    assert await stored(mirror) == before
