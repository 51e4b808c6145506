"""The registry as a service of the swarm that is served by it, behind the routing mesh."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.clients.docker import Docker, Dockerd
from tests.clients.documentation import documented_command
from tests.clients.images import make_context
from tests.clients.mirror_server import HOST, PORT, URL, is_ready
from tests.clients.routing_mesh import routed

REGISTRY, APP = "registry", "app"
WITHIN = 60.0
LASTING = ("/bin/busybox", "sleep", "600")


@pytest.fixture
async def manager(engine: Dockerd, tmp_path: Path) -> AsyncIterator[Docker]:
    """A swarm of one machine that has the image ``mirror``."""
    docker = Docker(engine, tmp_path)
    (await docker.command("swarm", "init", "--advertise-addr", "127.0.0.1")).checked()
    node = (await docker.command("node", "ls", "--quiet")).checked().output.strip()
    (await docker.command("node", "update", "--label-add", "registry=true", node)).checked()
    yield docker
    await docker.command("service", "rm", APP, REGISTRY)
    await running(docker, APP, 0)
    await running(docker, REGISTRY, 0)
    (await docker.command("swarm", "leave", "--force")).checked()
    await forget(docker)
    await docker.command("volume", "rm", REGISTRY)


@pytest.mark.timeout(300)
async def test_pushed_to_the_swarm_and_run_from_it(manager: Docker, tmp_path: Path) -> None:
    context = make_context(tmp_path / "context", b"pushed", LASTING)
    await create("docker service create --name registry", manager)
    async with published(manager):
        (await manager.command("build", "--tag", "app", str(context))).checked()
        (await manager.command(*documented("docker tag"))).checked()
        (await manager.command(*documented("docker push"))).checked()
        assert await catalog() == ["app"]
        await create("docker service create --name app", manager)
        await running(manager, APP, 1)
        assert "@sha256:" in await image(manager, APP)

    await scale(manager, APP, 0)
    await scale(manager, REGISTRY, 0)
    await forget(manager)
    await scale(manager, REGISTRY, 1)
    async with published(manager):
        assert await catalog() == ["app"]
        await scale(manager, APP, 1)


@contextlib.asynccontextmanager
async def published(manager: Docker) -> AsyncIterator[None]:
    """Once the routing mesh leads to the registry, which is when that is healthy."""
    await running(manager, REGISTRY, 1, "--filter", "health=healthy")
    async with routed(manager, REGISTRY, PORT):
        async with asyncio.timeout(WITHIN):
            while not await asyncio.to_thread(is_ready):  # noqa: ASYNC110 - nothing tells of a state
                await asyncio.sleep(0.2)
        yield


async def create(beginning: str, manager: Docker) -> None:
    """A service, by the command that is documented."""
    service, create, *options = documented(beginning)
    (await manager.command(service, create, "--detach", *options)).checked()


def documented(beginning: str) -> Sequence[str]:
    return documented_command("swarm.md", beginning)[1:]


async def forget(manager: Docker) -> None:
    """The node has to pull it again."""
    containers = (await manager.command("ps", "-aq")).checked().output.split()
    if containers:
        (await manager.command("rm", "-fv", *containers)).checked()
    images = ("images", "--quiet", "--no-trunc", "--filter", f"reference={HOST}/app")
    for each in set((await manager.command(*images)).checked().output.split()):
        (await manager.command("rmi", "-f", each)).checked()


async def image(manager: Docker, service: str) -> str:
    spec = "{{.Spec.TaskTemplate.ContainerSpec.Image}}"
    inspected = await manager.command("service", "inspect", "--format", spec, service)
    return inspected.checked().output.strip()


async def scale(manager: Docker, service: str, number: int) -> None:
    (await manager.command("service", "scale", "--detach", f"{service}={number}")).checked()
    await running(manager, service, number)


async def running(manager: Docker, service: str, number: int, *filters: str) -> None:
    """Wait until so many containers of the service run."""
    label = f"label=com.docker.swarm.service.name={service}"
    async with asyncio.timeout(WITHIN):
        while True:
            listed = await manager.command("ps", "--quiet", "--filter", label, *filters)
            if len(listed.checked().output.split()) == number:
                return
            await asyncio.sleep(0.2)


async def catalog() -> list[str]:
    def read() -> list[str]:
        with urlopen(f"{URL}/v2/_catalog", timeout=10) as answer:  # noqa: S310 - it is http
            names: list[str] = json.load(answer)["repositories"]
            return names

    return await asyncio.to_thread(read)
