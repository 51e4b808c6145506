"""F35. Mirrors behind mirrors, and mirrors that lead to themselves."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tests.api.cache_status import parse_cache_status
from tests.api.site import (
    BLOB,
    BY_DIGEST,
    IMAGE,
    INDEX,
    LAYER,
    NAME,
    SMALL,
    TAGGED,
    blob_path,
    manifest_path,
)
from tests.ports import free_port
from tests.simulated_hub import SimulatedHub
from tests.world import Mirror, running_mirror

QUICK = {"MIRROR__TIMEOUTS__HEADERS": "300ms", "MIRROR__TIMEOUTS__CONNECT": "300ms"}


def upstream(url: str) -> dict[str, str]:
    return {"MIRROR__UPSTREAMS": f'{{docker.io: {{url: "{url}", default: true}}}}'}


@asynccontextmanager
async def chain(folder: Path, hub: SimulatedHub, length: int) -> AsyncIterator[list[Mirror]]:
    """The first is next to the hub."""
    hub.push(NAME, "1", INDEX)
    async with AsyncExitStack() as stack:
        mirrors = [await stack.enter_async_context(running_mirror(folder / "0", hub))]
        for number in range(1, length):
            settings = upstream(mirrors[-1].url)
            mirror = running_mirror(folder / str(number), None, settings)
            mirrors.append(await stack.enter_async_context(mirror))
        yield mirrors


@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_everything_comes_through_two_cold_mirrors(
    tmp_path: Path, hub: SimulatedHub, method: str
) -> None:
    """Whichever is asked first, a HEAD of what nobody holds says what a GET will bring."""
    async with chain(tmp_path, hub, 2) as (_, outer):
        for path, content in (
            (TAGGED, INDEX.content),
            (BY_DIGEST, INDEX.content),
            (manifest_path(IMAGE), IMAGE.content),
            (BLOB, LAYER),
            (blob_path(SMALL), SMALL),
            (blob_path(b""), b""),
        ):
            first = await outer.get(path, method=method)
            assert first.status == 200
            assert first.headers["Content-Length"] == str(len(content))
            assert first.body == (content if method == "GET" else b"")
            second = await outer.get(path)
            assert second.body == content
            assert (
                second.headers["Docker-Content-Digest"] == (first.headers["Docker-Content-Digest"])
            )
    assert hub.count("blob", "GET", digest=blob_path(LAYER).rpartition("/")[2]) == 1


async def test_each_mirror_says_what_it_did_itself(tmp_path: Path, hub: SimulatedHub) -> None:
    async with chain(tmp_path, hub, 3) as (_, middle, outer):
        assert (await outer.get(TAGGED)).status == 200
        assert parse_cache_status((await middle.get(TAGGED)).headers["Cache-Status"]).is_hit
        assert parse_cache_status((await outer.get(TAGGED)).headers["Cache-Status"]).is_hit
        assert (await outer.get(f"{TAGGED}x")).status == 404
        assert (await outer.get(f"/v2/{NAME}/blobs/sha256:{'0' * 64}")).status == 404


def at(port: int, leads_to: int) -> Mapping[str, str]:
    listen = {"MIRROR__LISTEN": f"127.0.0.1:{port}"}
    return listen | upstream(f"http://127.0.0.1:{leads_to}") | QUICK


ALL = [TAGGED, BY_DIGEST, BLOB, f"/v2/docker.io/{NAME}/manifests/1"]


async def test_a_mirror_of_itself_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At once, with a word for the operator, and without asking itself again and again."""
    port = free_port()
    async with running_mirror(tmp_path, None, at(port, port)) as mirror, asyncio.timeout(30):
        for path in ALL:
            for method in ("HEAD", "GET"):
                reply = await mirror.get(path, method=method)
                assert reply.status in (404, 502, 503)
    assert "an upstream of this mirror leads back to itself" in caplog.text
    assert len(mirror.lines) < 30


async def test_two_mirrors_of_each_other_come_to_an_end(tmp_path: Path) -> None:
    one, other = free_port(), free_port()
    async with (
        running_mirror(tmp_path / "one", None, at(one, other)) as first,
        running_mirror(tmp_path / "other", None, at(other, one)) as second,
        asyncio.timeout(30),
    ):
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(first.get(path, method=method))
                for path in ALL
                for method in ("HEAD", "GET")
            ]
        assert all(task.result().status in (404, 502, 503) for task in tasks)
    assert len(first.lines) + len(second.lines) < 100


async def test_what_is_held_is_served_although_the_upstream_leads_back(
    tmp_path: Path, hub: SimulatedHub
) -> None:
    """A loop is a mistake of the operator and no news about the image."""
    async with chain(tmp_path, hub, 1) as (mirror,):
        assert (await mirror.get(TAGGED)).status == 200
    port = free_port()
    async with running_mirror(tmp_path / "0", None, at(port, port), mirror.clock) as mirror:
        mirror.clock.advance(timedelta(hours=1))
        reply = await mirror.get(TAGGED)
        assert (reply.status, reply.body) == (200, INDEX.content)
        assert "stale" in reply.headers["Cache-Status"]
