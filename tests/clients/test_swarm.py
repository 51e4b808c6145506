"""A swarm: the manager asks the mirror for the digest, and every node pulls by that digest."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.clients.docker import Docker
from tests.clients.images import make_sample, push
from tests.simulated_hub import SimulatedHub

SERVICE = "greeter"
WITHIN = 60.0
LASTING = ("/bin/busybox", "sleep", "600")


@pytest.fixture
async def manager(docker: Docker) -> AsyncIterator[Docker]:
    """A swarm of one machine, which is manager and worker."""
    (await docker.command("swarm", "init", "--advertise-addr", "127.0.0.1")).checked()
    yield docker
    await docker.command("service", "rm", SERVICE)
    (await docker.command("swarm", "leave", "--force")).checked()


@pytest.mark.usefixtures("mirror")
async def test_a_service_keeps_its_image(manager: Docker, hub: SimulatedHub) -> None:
    """Even when the tag has moved, the node has lost the image, and there is no upstream."""
    sample = make_sample()
    push(hub, "team/app", sample)
    options = ("--detach", "--network", "host", "--stop-grace-period", "0s")
    created = await manager.command(
        "service", "create", *options, "--name", SERVICE, "team/app:1", *LASTING
    )
    assert "could not be accessed" not in created.checked().everything
    await running(manager, 1)
    spec = "{{.Spec.TaskTemplate.ContainerSpec.Image}}"
    inspected = await manager.command("service", "inspect", "--format", spec, SERVICE)
    assert inspected.checked().output.strip() == f"team/app:1@{sample.digest}"

    push(hub, "team/app", make_sample(seed="newer"))
    await hub.stop()
    (await manager.command("service", "scale", "--detach", f"{SERVICE}=0")).checked()
    await running(manager, 0)
    await manager.forget()
    (await manager.command("service", "scale", "--detach", f"{SERVICE}=1")).checked()
    await running(manager, 1)


async def running(manager: Docker, number: int) -> None:
    """Wait until so many containers of the service run."""
    async with asyncio.timeout(WITHIN):
        while await containers(manager) != number:  # noqa: ASYNC110 - nothing tells of a state
            await asyncio.sleep(0.2)


async def containers(manager: Docker) -> int:
    return len((await manager.command("ps", "-q")).checked().output.split())
