from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from aiohttp import ClientSession

from tests.api.admin_client import AdminClient, make_server
from tests.api.services import MemoryMirror, make_mirror

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
            return AdminClient(server, await stack.enter_async_context(ClientSession()))

        yield serve


@pytest.fixture
async def client(mirror: MemoryMirror, connect: Connect) -> AdminClient:
    return await connect(mirror)
