"""Real clients, a real mirror process and simulated registries, and the end of all of them.

The suite is started by ``tests/clients/run``, which gives it a network, processes, mounts and a
hosts file of its own. Where CI is set, what would be skipped fails (see ``tests/requirements.py``).
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import pytest
import trustme

from tests.clients.client import Client
from tests.clients.container_image import build_image
from tests.clients.docker import Docker, Dockerd
from tests.clients.mirror_server import OTHER, MirrorServer, upstream
from tests.clients.relay import relayed
from tests.clients.workshop import CLIENTS, Workshop
from tests.simulated_hub import SimulatedHub

Clients = Callable[[str], Client]
MakeMirror = Callable[[Mapping[str, object]], Awaitable[MirrorServer]]

HTTPS = 443


def pytest_sessionstart() -> None:
    outside = [name for _, name in socket.if_nameindex() if name != "lo"]
    if outside:
        raise pytest.UsageError("start these tests with: tests/clients/run")


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[Workshop]:
    folder = tmp_path_factory.mktemp("daemons")
    certificates = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(certificates))
    with contextlib.ExitStack() as stack:
        yield Workshop(folder, certificates, stack)


@pytest.fixture(scope="session")
def engine(workshop: Workshop) -> Iterator[Dockerd]:
    """A daemon with a bridge, as everybody has, and with the image ``mirror``."""
    with workshop.other_dockerd("bridged") as dockerd:
        docker = Docker(dockerd, workshop.folder / "building")
        # The fixture is not async because it outlives the loop of a test.
        asyncio.run(build_image(docker, workshop.folder / "context"))
        yield dockerd


@pytest.fixture
async def clients(workshop: Workshop, tmp_path: Path) -> AsyncIterator[Clients]:
    """Make a client by its name, with nothing pulled yet."""
    made: list[Client] = []

    def make(name: str) -> Client:
        client = workshop.make(name, tmp_path / name)
        made.append(client)
        return client

    yield make
    for client in made:
        await client.forget()


@pytest.fixture(params=CLIENTS)
async def client(request: pytest.FixtureRequest, clients: Clients) -> Client:
    """Each engine in turn."""
    return clients(request.param)


@pytest.fixture
async def docker(workshop: Workshop, tmp_path: Path) -> AsyncIterator[Docker]:
    docker = workshop.docker(tmp_path / "docker")
    yield docker
    await docker.forget()


@pytest.fixture
async def other_hub() -> AsyncIterator[SimulatedHub]:
    async with SimulatedHub() as hub:
        yield hub


@pytest.fixture
async def origin(authority: trustme.CA) -> AsyncIterator[SimulatedHub]:
    """What everybody finds at registry-1.docker.io and auth.docker.io, with their certificates."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("registry-1.docker.io", "auth.docker.io").configure_cert(tls)
    async with (
        SimulatedHub(tls=tls) as hub,
        relayed("registry-1.docker.io", hub.host, HTTPS),
        relayed("auth.docker.io", hub.token_host, HTTPS),
    ):
        hub.tokens.realm = "https://auth.docker.io/token"
        yield hub


@pytest.fixture
async def make_mirror(tmp_path: Path) -> AsyncIterator[MakeMirror]:
    """Start a mirror with these settings. A test may have one at a time."""
    servers: list[MirrorServer] = []

    async def make(settings: Mapping[str, object]) -> MirrorServer:
        folder = tmp_path / f"mirror{len(servers)}"
        folder.mkdir()
        server = MirrorServer.configured(folder, settings)
        servers.append(server)
        await server.start()
        return server

    yield make
    for server in servers:
        server.stop()
        assert "Traceback" not in server.program.log, server.program.log


@pytest.fixture
async def mirror(
    make_mirror: MakeMirror, hub: SimulatedHub, other_hub: SimulatedHub
) -> MirrorServer:
    """A mirror of two registries, with the settings that it is shipped with."""
    upstreams = {"docker.io": upstream(hub, default=True), OTHER: upstream(other_hub)}
    return await make_mirror({"upstreams": upstreams})
