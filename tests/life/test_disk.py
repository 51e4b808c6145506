"""Disks that are full, out of files or read-only: pulls go on, and nothing is lost by it."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.life.aftermath import inspect_blobs, inspect_database
from tests.life.environment import mirror_of, stored_files
from tests.life.process import Nursery, Server, order, running_program, running_server
from tests.life.pulling import Client, client_of
from tests.life.small_disk import SmallDisk, small_disk
from tests.life.tracing import traced
from tests.requirements import needs_mounts, needs_strace
from tests.simulated_hub import (
    Fault,
    Index,
    SimulatedHub,
    blob,
    digest_of,
    make_image,
    make_index,
)

pytestmark = needs_mounts

NGINX = "library/nginx"
SMALL = make_index([make_image(layers=[blob("small", 200_000)])])
LARGE = tuple(make_index([make_image(layers=[blob(each, 9_000_000)])]) for each in range(4))
"""Each with a layer that is larger than the disk."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", "size=8m,nr_inodes=200") as disk:
        yield disk


@pytest.fixture
def full_hub(hub: SimulatedHub) -> SimulatedHub:
    hub.push(NGINX, "1", SMALL)
    for number, image in enumerate(LARGE):
        hub.push("library/large", str(number), image)
    return hub


@asynccontextmanager
async def server_on(
    nursery: Nursery, disk: SmallDisk, hub: SimulatedHub, more: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[Server, Client]]:
    """That asks for every tag each time, and so has something to write each time."""
    environ = mirror_of(hub, freshness="0s", more={"MIRROR__CACHE__MIN_FREE": "0", **(more or {})})
    at = order(disk.mounted_at, environ, namespaces=disk.namespaces)
    async with running_server(nursery, at) as server, client_of(server.url) as client:
        yield server, client
        assert await server.program.stop() == 0
        unexpected = [line for line in server.program.lines if "Traceback" in line]
        assert unexpected == []


@pytest.mark.parametrize("min_free", ["0", "1MiB"])
async def test_what_is_larger_than_the_disk_passes_through(
    nursery: Nursery, disk: SmallDisk, full_hub: SimulatedHub, min_free: str
) -> None:
    more = {"MIRROR__CACHE__MIN_FREE": min_free}
    async with server_on(nursery, disk, full_hub, more) as (_, client):
        await client.pull(NGINX, "1", SMALL)
        for turn in range(5):
            work = (client.pull("library/large", str(each), LARGE[each]) for each in range(4))
            if turn % 2:
                await asyncio.gather(*work)
            else:
                for each in work:
                    await each
        await client.pull(NGINX, "1", SMALL)
    left_in_order(disk)


async def test_it_fills_up_in_the_middle_of_a_download(
    nursery: Nursery, disk: SmallDisk, full_hub: SimulatedHub
) -> None:
    """The client gets all of it, and what was written makes way at once."""
    layer = blob("half", 2_000_000)
    digest = full_hub.push_blob(NGINX, layer)
    full_hub.faults.add(Fault(route="blob", reference=digest, kind="stall", at=1_500_000, times=1))
    path = f"/v2/{NGINX}/blobs/{digest}"
    async with (
        server_on(nursery, disk, full_hub) as (server, client),
        client.session.get(server.url + path) as answer,
    ):
        begun = await answer.content.readexactly(1_000_000)
        disk.fill()
        full_hub.release()
        assert begun + await answer.read() == layer
        await client.kept()
        assert unfinished(disk) == []


async def test_downloads_that_fit_alone_and_not_together(
    nursery: Nursery, disk: SmallDisk, full_hub: SimulatedHub
) -> None:
    images = [make_index([make_image(layers=[blob(f"{each}", 2_500_000)])]) for each in range(3)]
    for number, image in enumerate(images):
        full_hub.push("library/half", str(number), image)
    full_hub.bandwidth = 20_000_000
    async with server_on(nursery, disk, full_hub) as (_, client):
        for _ in range(2):
            await asyncio.gather(
                *(client.pull("library/half", str(n), image) for n, image in enumerate(images))
            )
    left_in_order(disk)


def left_in_order(disk: SmallDisk) -> None:
    """Nothing partial: the room is there for what fits."""
    inspect_blobs(disk.path)
    inspect_database(disk.path)
    assert unfinished(disk) == []


def unfinished(disk: SmallDisk) -> list[str]:
    """But for what has every byte: it could not get its name, and does so when it is asked for."""
    found = ((path.name, path.read_bytes()) for path in (disk.path / "ingest").iterdir())
    return [name for name, kept in found if kept and name != _name_when_whole(kept)]


def _name_when_whole(content: bytes) -> str:
    return "fill-" + digest_of(content).removeprefix("sha256:")


async def test_a_full_disk_stops_nobody(
    nursery: Nursery, disk: SmallDisk, full_hub: SimulatedHub
) -> None:
    """What is stored is served, all else passes through, until there is room again."""
    async with server_on(nursery, disk, full_hub) as (_, client):
        await client.pull(NGINX, "1", SMALL)
        ballast = disk.fill()
        moved = make_index([make_image(layers=[blob("moved", 200_000)])])

        await client.pull(NGINX, "1", SMALL)
        for _ in range(2):
            await client.pull("library/large", "0", LARGE[0])
        full_hub.move_tag(NGINX, "1", moved)
        await client.pull(NGINX, "1", moved)
        await client.pull_content(NGINX, SMALL)

        ballast.unlink()
        await kept(client, full_hub, moved)
    left_in_order(disk)


async def kept(client: Client, hub: SimulatedHub, image: Index) -> None:
    """For a moment the server believes what it last saw of the disk; then pulls are kept."""
    async with asyncio.timeout(30):
        asked = -1
        while hub.count(method="GET") != asked:
            asked = hub.count(method="GET")
            await client.pull(NGINX, "1", image)
            await asyncio.sleep(0.05)


async def test_a_server_ends_and_starts_on_a_full_disk(
    nursery: Nursery, disk: SmallDisk, full_hub: SimulatedHub
) -> None:
    async with server_on(nursery, disk, full_hub) as (_, client):
        await client.pull(NGINX, "1", SMALL)
        (disk.path / "lock").unlink()  # so that there will be no room for anything in a new one
        disk.fill()
        await client.pull(NGINX, "1", SMALL)
    async with server_on(nursery, disk, full_hub) as (_, client):
        await client.pull(NGINX, "1", SMALL)
        await client.pull("library/large", "0", LARGE[0])
    inspect_blobs(disk.path)
    assert len(stored_files(disk.path)) == 4


async def test_no_file_can_be_made(
    nursery: Nursery, disk: SmallDisk, full_hub: SimulatedHub
) -> None:
    async with server_on(nursery, disk, full_hub) as (_, client):
        await client.pull(NGINX, "1", SMALL)
        disk.take_inodes()
        await client.pull(NGINX, "1", SMALL)
        for _ in range(2):
            await client.pull("library/large", "0", LARGE[0])
            await client.blob("library/large", digest_of(blob(1, 9_000_000)))
    left_in_order(disk)


async def test_no_file_can_be_made_at_the_start(nursery: Nursery, disk: SmallDisk) -> None:
    """SQLite needs files beside its own. The server says so and leaves all as it was."""
    at = order(disk.mounted_at, {}, namespaces=disk.namespaces)
    async with running_server(nursery, at) as server:
        assert await server.program.stop() == 0
    disk.take_inodes()
    async with running_program(nursery, at) as program:
        assert await program.ended() == 2
        [line] = program.lines
    assert f"{disk.mounted_at}/metadata.db" in line


READ_ONLY = "pwrite64,pwritev2,fsync,fdatasync,ftruncate,rename,mkdir,unlink,fchmod,utimensat"
"""What no longer works. A file system with open files can be made so only from inside."""


@needs_strace
async def test_it_becomes_read_only(
    nursery: Nursery, disk: SmallDisk, full_hub: SimulatedHub
) -> None:
    inject = ("-e", f"trace={READ_ONLY}", "-e", f"inject={READ_ONLY}:error=EROFS")
    async with server_on(nursery, disk, full_hub) as (server, client):
        await client.pull(NGINX, "1", SMALL)
        async with traced(server.program, None, *inject):
            await client.pull(NGINX, "1", SMALL)
            for _ in range(2):
                await client.pull("library/large", "0", LARGE[0])
            assert await server.program.stop() == 0
    async with server_on(nursery, disk, full_hub) as (_, client):
        await client.pull(NGINX, "1", SMALL)
    left_in_order(disk)


async def test_it_was_read_only_from_the_start(nursery: Nursery, disk: SmallDisk) -> None:
    disk.remount("ro")
    at = order(disk.mounted_at, {}, namespaces=disk.namespaces)
    async with running_program(nursery, at) as program:
        assert await program.ended() == 2
        [line] = program.lines
    assert line == (
        f"Error: the data folder {disk.mounted_at} cannot be written: Read-only file system; make"
        " it writable for the user the server runs as, or name another one"
    )
