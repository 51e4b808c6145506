"""A data folder in which anything may lie: whatever is there, clients get the truth or nothing.

Damage that leaves the length of a blob as it was is not looked for at each reading.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.life.aftermath import inspect_blobs
from tests.life.environment import mirror_of, stored_files
from tests.life.process import Nursery, Server, order, running_server
from tests.life.pulling import ACCEPT, Client, PullFailed, client_of
from tests.simulated_hub import SimulatedHub, blob, digest_of, make_image, make_index

NGINX = "library/nginx"
LAYER = blob("layer", 300_000)
IMAGE = make_index([make_image(layers=[LAYER, b"small"])])
"""Of five files: index, manifest, config and two layers."""

EVERY_CALL_ASKS = "0s"
LONG_AGO = 1_000_000_000.0
STRAYS = re.compile("5 files in the data folder's blobs are recorded nowhere, 0 are")


@asynccontextmanager
async def server_of(
    nursery: Nursery, data: Path, hub: SimulatedHub
) -> AsyncIterator[tuple[Server, Client]]:
    environ = mirror_of(hub, freshness=EVERY_CALL_ASKS)
    async with (
        running_server(nursery, order(data, environ)) as server,
        client_of(server.url) as client,
    ):
        yield server, client


async def filled(nursery: Nursery, data: Path, hub: SimulatedHub) -> None:
    """A folder that a server has used and left."""
    hub.push(NGINX, "1", IMAGE)
    async with server_of(nursery, data, hub) as (server, client):
        await client.pull(NGINX, "1", IMAGE)
        assert await server.program.stop() == 0
    assert len(stored_files(data)) == 5


async def pulls_all(nursery: Nursery, data: Path, hub: SimulatedHub) -> None:
    async with server_of(nursery, data, hub) as (server, client):
        await client.pull(NGINX, "1", IMAGE)
        assert await server.program.stop() == 0
        assert not any("Traceback" in line for line in server.program.lines)
    inspect_blobs(data)
    assert len(stored_files(data)) == 5


# What was never put there by a server.


async def test_rubbish_among_the_unfinished(
    nursery: Nursery, tmp_path: Path, hub: SimulatedHub
) -> None:
    await filled(nursery, tmp_path, hub)
    ingest = tmp_path / "ingest"
    plant_rubbish(ingest)
    (ingest / ".put-1").write_bytes(b"half a manifest")
    (ingest / ".swept").write_bytes(b"")
    for path in stored_files(tmp_path):
        (ingest / f"fill-{path.name}").write_bytes(path.read_bytes()[:100])
        path.unlink()

    await pulls_all(nursery, tmp_path, hub)


async def test_rubbish_among_the_blobs(nursery: Nursery, tmp_path: Path, hub: SimulatedHub) -> None:
    await filled(nursery, tmp_path, hub)
    for folder in ("", "sha256", "sha256/00", "sha256/zz", "md5/00"):
        plant_rubbish(tmp_path / "blobs" / folder)

    async with server_of(nursery, tmp_path, hub) as (server, client):
        await client.pull(NGINX, "1", IMAGE)
        assert await server.program.stop() == 0


def plant_rubbish(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.txt").write_text("hello")
    (folder / "..data").write_bytes(b"\0" * 100)
    (folder / ("f" * 63)).write_bytes(b"nearly a digest")
    (folder / "name\nwith a line").write_bytes(b"")
    (folder / os.fsdecode(b"\xff\xfe")).write_bytes(b"not UTF-8")
    (folder / "folder" / "deeper").mkdir(parents=True)
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    with (folder / "huge").open("wb") as huge:
        huge.truncate(1 << 40)


async def test_a_lock_that_nobody_holds(
    nursery: Nursery, tmp_path: Path, hub: SimulatedHub
) -> None:
    await filled(nursery, tmp_path, hub)
    (tmp_path / "lock").write_text(f"{os.getpid()}\n")

    await pulls_all(nursery, tmp_path, hub)


async def test_metadata_that_is_gone(nursery: Nursery, tmp_path: Path, hub: SimulatedHub) -> None:
    """What it knew of is kept for whoever brings it back, and is served meanwhile."""
    await filled(nursery, tmp_path, hub)
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"metadata.db{suffix}").unlink(missing_ok=True)
    for path in stored_files(tmp_path):
        os.utime(path, (LONG_AGO, LONG_AGO))

    async with server_of(nursery, tmp_path, hub) as (server, client):
        await server.program.printed(STRAYS)
        assert len(stored_files(tmp_path)) == 5
        downloads = hub.count("blob")
        await client.pull(NGINX, "1", IMAGE)
        assert hub.count("blob") == downloads
        assert await server.program.stop() == 0
    assert len(stored_files(tmp_path)) == 5


SPOILED = {
    "as long": b"x" * len(LAYER),
    "longer": LAYER + b"more",
    "shorter": bytes(len(LAYER) // 2),
    "tiny": b"x",
}


@pytest.mark.parametrize("spoiled", SPOILED)
async def test_an_unfinished_download_of_other_bytes(
    nursery: Nursery, tmp_path: Path, hub: SimulatedHub, spoiled: str
) -> None:
    """Nobody gets it for the blob, and the next download begins with nothing."""
    hub.push(NGINX, "1", IMAGE)
    (tmp_path / "ingest").mkdir()
    (tmp_path / "ingest" / f"fill-{digest_of(LAYER)[7:]}").write_bytes(SPOILED[spoiled])
    async with server_of(nursery, tmp_path, hub) as (_, client):
        with suppress(PullFailed):
            await client.blob(NGINX, digest_of(LAYER))
        assert await client.blob(NGINX, digest_of(LAYER)) == LAYER


# Blobs that are no longer what they were.


def resize(change: Callable[[int], int]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.chmod(0o600)
        os.truncate(path, change(path.stat().st_size))

    return damage


def replace(replacement: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.unlink()
        replacement(path)

    return damage


DAMAGES: dict[str, Callable[[Path], None]] = {
    "emptied": resize(lambda _: 0),
    "cut in half": resize(lambda size: size // 2),
    "a byte short": resize(lambda size: size - 1),
    "a byte long": resize(lambda size: size + 1),
    "much too long": resize(lambda size: size + (1 << 33)),
    "gone": Path.unlink,
    "a folder": replace(Path.mkdir),
    "a link": replace(lambda path: path.symlink_to("/etc/passwd")),
    "a link to nowhere": replace(lambda path: path.symlink_to("nowhere")),
    "a pipe": replace(os.mkfifo),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_damaged_blobs_are_fetched_again(
    nursery: Nursery, tmp_path: Path, hub: SimulatedHub, damage: str
) -> None:
    """All of them at once, manifests too, before a start."""
    await filled(nursery, tmp_path, hub)
    for path in stored_files(tmp_path):
        DAMAGES[damage](path)

    await pulls_all(nursery, tmp_path, hub)


@pytest.mark.parametrize("damage", ["emptied", "a byte long", "gone", "a pipe"])
async def test_damaged_blobs_are_not_served_when_there_is_no_upstream(
    nursery: Nursery, tmp_path: Path, hub: SimulatedHub, damage: str
) -> None:
    """A client that can go elsewhere is sent there, the other hears that it must wait."""
    await filled(nursery, tmp_path, hub)
    for path in stored_files(tmp_path):
        DAMAGES[damage](path)
    await hub.stop()

    async with server_of(nursery, tmp_path, hub) as (server, client):

        async def asked(method: str, path: str) -> int:
            url = f"{server.url}/v2/{path}"
            async with client.session.request(method, url, headers=ACCEPT) as answer:
                await answer.read()
                return answer.status

        for prefix, status in (("", 404), ("docker.io/", 503)):
            contents = [f"manifests/{each}" for each in ("1", IMAGE.digest)]
            contents += [f"blobs/{digest_of(LAYER)}"]
            work = [
                asked(method, f"{prefix}{NGINX}/{content}")
                for content in contents
                for method in ("GET", "HEAD")
            ]
            assert await asyncio.gather(*work) == [status] * 6
        assert await server.program.stop() == 0


async def test_blobs_are_damaged_while_they_are_served(
    nursery: Nursery, tmp_path: Path, hub: SimulatedHub
) -> None:
    await filled(nursery, tmp_path, hub)
    path = tmp_path / "blobs" / "sha256" / digest_of(LAYER)[7:9] / digest_of(LAYER)[7:]
    async with server_of(nursery, tmp_path, hub) as (_, client):
        for damage in DAMAGES.values():
            await client.pull(NGINX, "1", IMAGE)
            damage(path)
            await asyncio.gather(*(client.blob(NGINX, digest_of(LAYER)) for _ in range(3)))
            await client.kept()
    inspect_blobs(tmp_path)
