"""The server as it is shipped, with the settings it is shipped with, in front of Docker Hub."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.clients.client import Client, pulled
from tests.clients.images import make_sample, push
from tests.clients.mirror_server import MirrorServer
from tests.clients.workshop import Workshop
from tests.simulated_hub import Redirects, SimulatedHub


@pytest.fixture
async def shipped(workshop: Workshop, tmp_path: Path) -> AsyncIterator[MirrorServer]:
    folder = tmp_path / "shipped"
    folder.mkdir()
    server = MirrorServer.shipped(folder, {"SSL_CERT_FILE": str(workshop.certificates)})
    await server.start()
    yield server
    server.stop()


@pytest.mark.usefixtures("shipped")
async def test_a_pull_from_docker_hub(client: Client, origin: SimulatedHub) -> None:
    """Over https, with tokens from the other host, and with blobs that are somewhere else."""
    origin.redirects = Redirects(blobs=307, relative=True)
    sample = make_sample("docker-list")
    push(origin, "library/hello", sample)
    assert await pulled(client, "docker.io/library/hello:1") == sample.told
    agents = {each.headers.get("User-Agent", "").partition("/")[0] for each in origin.requests}
    assert agents == {"mirror"}
    assert origin.tokens.issued == 1
