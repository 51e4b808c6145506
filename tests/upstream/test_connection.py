"""Each wait for an upstream has a deadline of its own: one for the connection, one for headers."""

import asyncio

import pytest

from mirror.ports.upstream import UpstreamUnreachable
from mirror.upstream.settings import Timeouts
from tests.simulated_hub import Fault
from tests.upstream.world import HOUR, LATEST, NAME, World, download, layer_digest, push_image

SOON = 0.25


@pytest.mark.parametrize("is_reused", [False, True], ids=["new", "reused"])
async def test_headers_get_nothing_of_the_time_to_connect(world: World, *, is_reused: bool) -> None:
    image = push_image(world.hub)
    upstream = world.upstream(timeouts=Timeouts(connect=HOUR, headers=SOON))
    if is_reused:
        assert await upstream.resolve(NAME, LATEST) is not None
    world.hub.faults.add(Fault(route="any", kind="stall", before_auth=True))
    with pytest.raises(UpstreamUnreachable) as caught:
        async with asyncio.timeout(30):
            await download(upstream, layer_digest(image))
    assert str(caught.value) == f"docker.io: {world.hub.host} does not answer in time"


async def test_a_connection_gets_nothing_of_the_time_for_headers(world: World) -> None:
    silent = asyncio.Event()

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent.wait()
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        timeouts = Timeouts(connect=SOON, headers=HOUR)
        upstream = world.upstream(url=f"https://127.0.0.1:{port}", timeouts=timeouts)
        with pytest.raises(UpstreamUnreachable) as caught:
            async with asyncio.timeout(30):
                await upstream.resolve(NAME, LATEST)
        silent.set()
    assert str(caught.value) == f"docker.io: no connection to 127.0.0.1:{port} in time"
