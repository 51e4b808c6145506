from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import ClientSession

from tests.api.admin_client import AdminClient, make_server
from tests.api.services import MemoryMirror, make_mirror
from tests.api.serving import Serving, serving
from tests.api.short_way import keep, make_stocked
from tests.api.site import Site, running_site
from tests.simulated_hub import SimulatedHub

Connect = Callable[[MemoryMirror], Awaitable[AdminClient]]


@pytest.fixture
def mirror() -> MemoryMirror:
    """Nothing in it, and two upstreams with nothing on them."""
    return make_mirror()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Serve a mirror until the test ends."""
    async with AsyncExitStack() as stack:

        async def serve(mirror: MemoryMirror) -> AdminClient:
            server = make_server(mirror)
            await stack.enter_async_context(server)
            stack.push_async_callback(mirror.services.manifests.close)
            stack.push_async_callback(mirror.services.blobs.close)
            stack.push_async_callback(mirror.services.tags.close)
            stack.push_async_callback(mirror.services.referrers.close)
            return AdminClient(server, await stack.enter_async_context(ClientSession()))

        yield serve


@pytest.fixture
async def client(mirror: MemoryMirror, connect: Connect) -> AdminClient:
    return await connect(mirror)


@pytest.fixture
async def site(tmp_path: Path, hub: SimulatedHub) -> AsyncIterator[Site]:
    """A mirror that holds nothing, of a hub that has an image."""
    async with running_site(tmp_path / "data", hub) as site:
        yield site


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def held(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A mirror that holds all that the hub has, for the tests of a module that only read."""
    data = tmp_path_factory.mktemp("data")
    async with SimulatedHub() as hub, running_site(data, hub) as site:
        await site.pull()
        yield site


@pytest.fixture
async def stocked() -> MemoryMirror:
    """It holds one small image, and so does its upstream."""
    return await make_stocked()


@pytest.fixture
async def server(stocked: MemoryMirror) -> AsyncIterator[Serving]:
    """A server of it that has all its answers prepared."""
    async with serving(stocked) as server:
        await keep(server)
        yield server
