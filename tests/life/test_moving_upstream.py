"""An upstream that changes its mind between two requests, and one that is a mirror itself."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from tests.life.environment import IMPATIENT, mirror_of, mirror_of_url
from tests.life.pulling import client_of
from tests.ports import free_port
from tests.simulated_hub import DOCKER, OCI, Index, SimulatedHub, blob, make_image, make_index
from tests.world import Mirror, SettableClock, running_mirror

NAME = "library/app"
OLD = make_index([make_image(layers=[blob("old", 50_000)])])
NEW = make_index([make_image(layers=[blob("new", 50_000)])])
LATER = timedelta(minutes=6)
"""When a tag is asked about again."""


def layer_of(index: Index) -> tuple[str, bytes]:
    [image] = index.images
    assert not isinstance(image, Index)
    return image.layers[0], image.blobs[image.layers[0]]


async def test_a_tag_moves_in_the_middle_of_a_pull(tmp_path: Path, hub: SimulatedHub) -> None:
    """Who has begun with the old image ends with it."""
    clock = SettableClock()
    hub.push(NAME, "1", OLD)
    async with (
        running_mirror(tmp_path, None, mirror_of(hub), clock) as mirror,
        client_of(mirror.url) as client,
    ):
        assert await client.resolve(NAME, "1") == OLD.digest
        hub.move_tag(NAME, "1", NEW)
        await client.pull_content(NAME, OLD)
        clock.advance(LATER)
        await client.pull(NAME, "1", NEW)
        await client.pull_content(NAME, OLD)


async def test_a_tag_goes_in_the_middle_of_a_pull(tmp_path: Path, hub: SimulatedHub) -> None:
    clock = SettableClock()
    hub.push(NAME, "1", OLD)
    async with (
        running_mirror(tmp_path, None, mirror_of(hub), clock) as mirror,
        client_of(mirror.url) as client,
    ):
        await client.get(f"/v2/{NAME}/manifests/1", OLD.digest)
        hub.delete_tag(NAME, "1")
        await client.pull_content(NAME, OLD)
        clock.advance(LATER)
        assert (await mirror.get(f"/v2/{NAME}/manifests/1")).status == 404
        await client.pull_content(NAME, OLD)


async def test_a_repository_goes_in_the_middle_of_a_pull(tmp_path: Path, hub: SimulatedHub) -> None:
    """What came in time stays, what did not is not there."""
    hub.push(NAME, "1", OLD)
    async with running_mirror(tmp_path, hub) as mirror, client_of(mirror.url) as client:
        await client.get(f"/v2/{NAME}/manifests/1", OLD.digest)
        hub.delete_repository(NAME)
        await client.get(f"/v2/{NAME}/manifests/1", OLD.digest)
        digest, _ = layer_of(OLD)
        for _ in range(2):
            reply = await mirror.get(f"/v2/{NAME}/blobs/{digest}")
            assert (reply.status, b"BLOB_UNKNOWN" in reply.body) == (404, True)
        hub.push(NAME, "1", OLD)
        await client.blob(NAME, digest)


async def test_a_tag_is_rolled_back(tmp_path: Path, hub: SimulatedHub) -> None:
    """What was held before it moved is not fetched again."""
    clock = SettableClock()
    hub.push(NAME, "1", OLD)
    async with (
        running_mirror(tmp_path, None, mirror_of(hub), clock) as mirror,
        client_of(mirror.url) as client,
    ):
        for index in (OLD, NEW, OLD, NEW):
            hub.move_tag(NAME, "1", index)
            clock.advance(LATER)
            await client.pull(NAME, "1", index)
        for index in (OLD, NEW):
            digest, _ = layer_of(index)
            assert hub.count("manifest", "GET", digest=index.digest) == 1
            assert hub.count("blob", "GET", digest=digest) == 1


async def test_a_tag_moves_all_the_time(tmp_path: Path, hub: SimulatedHub) -> None:
    """Whatever a client is told that a tag is, it can have all of."""
    clock = SettableClock()
    hub.push(NAME, "1", OLD)
    async with (
        running_mirror(tmp_path, None, mirror_of(hub), clock) as mirror,
        client_of(mirror.url) as client,
    ):

        async def pull() -> None:
            digest = await client.resolve(NAME, "1")
            await client.pull_content(NAME, OLD if digest == OLD.digest else NEW)

        for turn in range(20):
            hub.move_tag(NAME, "1", (OLD, NEW)[turn % 2])
            clock.advance(LATER)
            await asyncio.gather(*(pull() for _ in range(5)))


# Mirrors of mirrors.


async def test_a_mirror_of_a_mirror(tmp_path: Path, hub: SimulatedHub) -> None:
    hub.push(NAME, "1", OLD)
    digest, content = layer_of(OLD)
    async with (
        running_mirror(tmp_path / "near", hub) as near,
        running_mirror(tmp_path / "far", None, mirror_of_url(near.url)) as far,
        client_of(far.url) as client,
    ):
        head = await far.head(f"/v2/{NAME}/blobs/{digest}")
        assert (head.status, head.headers["Content-Length"]) == (200, str(len(content)))
        assert hub.count("blob", "GET") == 0
        await client.pull(NAME, "1", OLD)
        await client.pull(NAME, "1", OLD)
        assert hub.count("blob", "GET", digest=digest) == 1
        assert hub.count("manifest", "GET", digest=OLD.digest) == 1

        missing = await far.get(f"/v2/{NAME}/manifests/missing")
        assert missing.status == 404


async def refused(mirror: Mirror) -> set[int]:
    """The answers to all kinds of requests for what is nowhere."""
    paths = [
        f"/v2/{prefix}{NAME}/{item}"
        for prefix in ("", "docker.io/")
        for item in ("manifests/1", f"manifests/{OLD.digest}", f"blobs/{OLD.digest}")
    ]
    return {reply.status for reply in await asyncio.gather(*map(mirror.get, paths))}


async def test_a_mirror_of_itself(tmp_path: Path) -> None:
    port = free_port()
    more = {"MIRROR__LISTEN": f"127.0.0.1:{port}", "MIRROR__TIMEOUTS__HEADERS": "60s"}
    environ = mirror_of_url(f"http://127.0.0.1:{port}", more=more)
    async with running_mirror(tmp_path, None, environ) as mirror:
        async with asyncio.timeout(30):
            assert await refused(mirror) <= {404, 502}
        assert len(mirror.lines) < 30


async def test_mirrors_of_each_other(tmp_path: Path) -> None:
    """What neither has is not asked for round and round: each waits for the other for a while."""
    port = free_port()
    one_listens = IMPATIENT | {"MIRROR__LISTEN": f"127.0.0.1:{port}"}
    one_is_upstream = mirror_of_url(f"http://127.0.0.1:{port}", more=IMPATIENT)
    async with (
        running_mirror(tmp_path / "two", None, one_is_upstream) as two,
        running_mirror(tmp_path / "one", None, mirror_of_url(two.url, more=one_listens)) as one,
    ):
        assert await refused(one) <= {404, 502, 503}
        assert len(one.lines) + len(two.lines) < 100


# Clients that accept different things.

ACCEPTS = [
    "",
    "*/*",
    OCI.index,
    OCI.manifest,
    DOCKER.manifest,
    f"{DOCKER.index}, {DOCKER.manifest};q=0.5, */*;q=0.1",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/json",
    "text/html",
    "garbage",
]


@pytest.mark.parametrize("first", ACCEPTS[:4])
async def test_what_one_client_brought_is_for_all(
    tmp_path: Path, hub: SimulatedHub, first: str
) -> None:
    """Without the upstream, and whatever they accept."""
    hub.push(NAME, "1", OLD)
    async with running_mirror(tmp_path, hub) as mirror:
        headers = {"Accept": first} if first else {}
        assert (await mirror.get(f"/v2/{NAME}/manifests/1", headers)).status == 200
        await hub.stop()
        for accept in ACCEPTS:
            for reference in ("1", OLD.digest):
                headers = {"Accept": accept} if accept else {}
                reply = await mirror.get(f"/v2/{NAME}/manifests/{reference}", headers)
                assert (reply.status, reply.body) == (200, OLD.content)
                assert reply.headers["Content-Type"] == OLD.media_type
        await hub.start()
