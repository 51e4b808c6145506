"""Every client pulls every kind of image through the mirror and runs what was pushed."""

import pytest

from tests.clients.client import Client, pulled
from tests.clients.images import SHAPES, Shape, make_sample, push
from tests.clients.mirror_server import MirrorServer
from tests.simulated_hub import SimulatedHub


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.usefixtures("mirror")
async def test_by_tag_and_by_digest(client: Client, hub: SimulatedHub, shape: Shape) -> None:
    official, user = make_sample(shape, "official"), make_sample(shape, "user")
    push(hub, "library/hello", official)
    push(hub, "team/app", user)
    assert await pulled(client, "docker.io/library/hello:1") == official.told
    hub.log.requests.clear()
    assert await pulled(client, f"docker.io/team/app@{user.digest}") == user.told
    assert hub.count("manifest", "HEAD") == 0


@pytest.mark.usefixtures("mirror")
async def test_user_image_by_tag(client: Client, hub: SimulatedHub) -> None:
    sample = make_sample()
    push(hub, "team/app", sample)
    assert await pulled(client, "docker.io/team/app:1") == sample.told


async def test_an_image_that_is_nowhere(client: Client, mirror: MirrorServer) -> None:
    assert (await client.pull("docker.io/team/none:1")).code != 0
    assert mirror.program.is_running
