"""A whole server collects garbage while it serves, on demand and by itself."""

import hashlib
import json
from datetime import timedelta
from pathlib import Path

import pytest

from tests.simulated_hub import blob, make_image
from tests.world import Mirror, running_mirror

IMAGE = make_image(layers=[blob("layer", 10_000)])
DEAD = blob("dead", 5000)
SETTINGS = {"MIRROR__HOSTED__GC__GRACE": "2h", "MIRROR__HOSTED__UPLOAD_EXPIRY": "1h"}
AN_HOUR = timedelta(hours=1)


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


async def put(mirror: Mirror, path: str, content: bytes, media_type: str) -> int:
    headers = {"Content-Type": media_type}
    request = mirror.client.request("PUT", mirror.url + path, data=content, headers=headers)
    async with request as response:
        return response.status


async def push_blob(mirror: Mirror, content: bytes) -> None:
    digest = digest_of(content)
    async with mirror.client.post(f"{mirror.url}/v2/ours/blobs/uploads/") as response:
        place = response.headers["Location"].removeprefix(mirror.url)
    between = "&" if "?" in place else "?"
    path = f"{place}{between}digest={digest}"
    assert await put(mirror, path, content, "application/octet-stream") == 201


async def push_image(mirror: Mirror) -> None:
    for content in IMAGE.blobs.values():
        await push_blob(mirror, content)
    assert await put(mirror, "/v2/ours/manifests/1", IMAGE.content, IMAGE.media_type) == 201


async def collect(mirror: Mirror) -> dict[str, int]:
    reply = await mirror.get("/api/v1/gc", method="POST")
    assert reply.status == 200
    report = json.loads(reply.body)
    return {name: report[name] for name in ("count", "freed_bytes")}


def has(data: Path, content: bytes) -> bool:
    encoded = digest_of(content).partition(":")[2]
    return (data / "blobs" / "sha256" / encoded[:2] / encoded).exists()


async def test_what_was_pushed_and_is_not_needed_goes(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with running_mirror(data, None, SETTINGS) as mirror:
        await push_image(mirror)
        await push_blob(mirror, DEAD)
        assert await collect(mirror) == {"count": 0, "freed_bytes": 0}
        mirror.clock.advance(AN_HOUR)
        assert (await mirror.head(f"/v2/ours/blobs/{digest_of(DEAD)}")).status == 200
        mirror.clock.advance(1.5 * AN_HOUR)
        # It was said to be there an hour and a half ago.
        assert await collect(mirror) == {"count": 0, "freed_bytes": 0}
        mirror.clock.advance(AN_HOUR)
        assert await collect(mirror) == {"count": 1, "freed_bytes": 5000}
        assert not has(data, DEAD)
        assert (await mirror.head(f"/v2/ours/blobs/{digest_of(DEAD)}")).status == 404
        assert (await mirror.get("/v2/ours/manifests/1")).body == IMAGE.content
        for digest, content in IMAGE.blobs.items():
            assert (await mirror.get(f"/v2/ours/blobs/{digest}")).body == content


async def test_who_was_told_that_it_is_here_has_as_long_as_an_upload_may_last(
    tmp_path: Path,
) -> None:
    """However little longer than that the grace period is."""
    settings = {**SETTINGS, "MIRROR__HOSTED__GC__GRACE": "61m"}
    async with running_mirror(tmp_path / "data", None, settings) as mirror:
        for content in IMAGE.blobs.values():
            await push_blob(mirror, content)
        for span in (AN_HOUR / 6, AN_HOUR):
            for digest in IMAGE.blobs:
                assert (await mirror.head(f"/v2/ours/blobs/{digest}")).status == 200
            mirror.clock.advance(span)
        await collect(mirror)
        assert await put(mirror, "/v2/ours/manifests/1", IMAGE.content, IMAGE.media_type) == 201


async def test_an_image_that_was_deleted_goes_and_can_be_pushed_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with running_mirror(data, None, SETTINGS) as mirror:
        await push_image(mirror)
        reply = await mirror.get(f"/v2/ours/manifests/{IMAGE.digest}", method="DELETE")
        assert reply.status == 202
        mirror.clock.advance(3 * AN_HOUR)
        assert (await collect(mirror))["count"] == 1 + len(IMAGE.blobs)
        assert not any(has(data, content) for content in IMAGE.blobs.values())
        await push_image(mirror)
        assert (await mirror.get("/v2/ours/manifests/1")).body == IMAGE.content


@pytest.mark.parametrize("every", ["24h", "off"])
async def test_the_schedule_is_told(tmp_path: Path, every: str) -> None:
    settings = SETTINGS | {"MIRROR__HOSTED__GC__EVERY": every}
    async with running_mirror(tmp_path / "data", None, settings) as mirror:
        schedule = json.loads((await mirror.get("/api/v1/stats")).body)["gc"]["schedule"]
    assert schedule["grace_seconds"] == 2 * 3600
    assert schedule["every_seconds"] == (None if every == "off" else 24 * 3600)
    assert schedule["next_run_at"] == (None if every == "off" else "2026-01-01T00:05:00Z")
