"""A disk that filled up while the server was down: it starts, and serves what it has."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.life.environment import mirror_of
from tests.life.process import Nursery, order, running_server
from tests.life.pulling import client_of
from tests.life.small_disk import SmallDisk, small_disk
from tests.requirements import needs_mounts
from tests.simulated_hub import SimulatedHub, blob, make_image, make_index

pytestmark = needs_mounts

IMAGE = make_index([make_image(layers=[blob("layer", 200_000)])])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", "size=12m,nr_inodes=200") as disk:
        yield disk


async def test_it_starts_on_a_disk_without_a_free_byte(
    nursery: Nursery, disk: SmallDisk, hub: SimulatedHub
) -> None:
    hub.push("library/nginx", "1", IMAGE)
    environ = mirror_of(hub, more={"MIRROR__CACHE__MIN_FREE": "0"})
    at = order(disk.mounted_at, environ, namespaces=disk.namespaces)
    async with running_server(nursery, at) as server, client_of(server.url) as client:
        await client.pull("library/nginx", "1", IMAGE)
        assert await server.program.stop() == 0
    disk.fill()
    await hub.stop()
    async with running_server(nursery, at) as server, client_of(server.url) as client:
        await client.pull("library/nginx", "1", IMAGE)
        assert await server.program.stop() == 0
