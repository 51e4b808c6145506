"""The container image: built, run as its users run it, and pulled through."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from hashlib import sha256
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.clients.client import pulled
from tests.clients.docker import Docker, Dockerd
from tests.clients.documentation import documented_command
from tests.clients.images import make_context, make_sample, push
from tests.clients.mirror_server import HOST
from tests.clients.relay import relayed
from tests.simulated_hub import SimulatedHub

APP = f"{HOST}/app:1"
HELLO = "docker.io/library/hello:1"
NAME = "registry"
USER = 1000
HEALTHY_WITHIN = 60.0
SOON = ("--health-interval", "1s")
"""Options for those who do not wait for the first check as everybody does."""

pytestmark = pytest.mark.timeout(300)  # The first one builds the image.


@pytest.fixture
async def docker(engine: Dockerd, tmp_path: Path) -> AsyncIterator[Docker]:
    docker = Docker(engine, tmp_path)
    yield docker
    containers = (await docker.command("ps", "-aq")).checked().output.split()
    if containers:
        (await docker.command("rm", "-fv", *containers)).checked()
    await docker.command("volume", "rm", NAME)
    await docker.command("rmi", "-f", "hello:1", APP)


@pytest.fixture
async def upstream(docker: Docker, hub: SimulatedHub) -> AsyncIterator[tuple[str, ...]]:
    """Options that tell a container about the hub, which it cannot reach on loopback."""
    hub.tokens.mode = "none"
    subnet = "{{(index .IPAM.Config 0).Subnet}}"
    found = await docker.command("network", "inspect", "--format", subnet, "bridge")
    ours = next(ip_network(found.checked().output.strip()).hosts())
    async with relayed(str(ours), hub.host) as address:
        upstreams = {"docker.io": {"url": f"http://{address}", "default": True}}
        yield ("--env", f"MIRROR__UPSTREAMS={json.dumps(upstreams)}")


def make_folder(path: Path, owner: int) -> Path:
    path.mkdir()
    os.chown(path, owner, owner)
    return path


async def run_mirror(docker: Docker, *options: str) -> None:
    """The README's command, with more options, until it is healthy."""
    command = ("run", "-d", "-p", "5000:5000", "--name", NAME, *options, "mirror")
    (await docker.command(*command)).checked()
    await healthy(docker)


async def healthy(docker: Docker) -> None:
    async with asyncio.timeout(HEALTHY_WITHIN):
        while (state := await inspected(docker, ".State.Health.Status")) == "starting":  # noqa: ASYNC110 - nothing tells of a state
            await asyncio.sleep(0.2)
    assert state == "healthy", (await docker.command("logs", NAME)).everything


async def inspected(docker: Docker, what: str) -> str:
    answer = await docker.command("inspect", "--format", f"{{{{{what}}}}}", NAME)
    return answer.checked().output.strip()


async def user(docker: Docker) -> int:
    """Who runs the first process of the container."""
    status = Path(f"/proc/{await inspected(docker, '.State.Pid')}/status").read_text()  # noqa: ASYNC240 - /proc does not wait
    (line,) = (line for line in status.splitlines() if line.startswith("Uid:"))
    (number,) = set(line.split()[1:])  # real, effective, saved and of the file system
    return int(number)


async def test_in_the_place_of_the_registry_image(
    docker: Docker, hub: SimulatedHub, upstream: tuple[str, ...], tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "srv", USER)
    await run_mirror(docker, "-v", f"{folder}:/var/lib/registry", *upstream)
    assert await user(docker) == USER
    sample = make_sample()
    push(hub, "library/hello", sample)
    assert await pulled(docker, HELLO) == sample.told
    blobs = [path for path in (folder / "blobs").rglob("*") if path.is_file()]
    assert {path.stat().st_uid for path in blobs} == {USER}
    (await docker.command("stop", NAME)).checked()
    assert await inspected(docker, ".State.ExitCode") == "0"

    await hub.stop()
    (await docker.command("rmi", "-f", "hello:1")).checked()
    (await docker.command("rm", NAME)).checked()
    await run_mirror(docker, *SOON, "-v", f"{folder}:/var/lib/registry", *upstream)
    assert await pulled(docker, HELLO) == sample.told


async def test_pushed_to_from_the_same_machine(docker: Docker, tmp_path: Path) -> None:
    """The server sees the gateway of the bridge, which is documented as trusted."""
    run = documented_command("docker.md", "docker run -d -p 5000:5000 --name registry -v registry:")
    (await docker.command(*run[1:])).checked()
    await healthy(docker)
    context = make_context(tmp_path / "context", b"pushed")
    (await docker.command("build", "--tag", APP, str(context))).checked()
    (await docker.command("push", APP)).checked()
    (await docker.command("rmi", "-f", APP)).checked()
    assert await pulled(docker, APP) == sha256(b"pushed").hexdigest()


async def test_a_folder_that_root_made(docker: Docker, tmp_path: Path) -> None:
    volume = ("-v", f"{make_folder(tmp_path / 'srv', 0)}:/var/lib/registry")
    refused = await docker.command("run", "--rm", *volume, "mirror")
    assert refused.code == 2
    assert "chown -R 1000" in refused.errors
    assert "--user root" in refused.errors
    await run_mirror(docker, *SOON, "--user", "root", *volume)
    assert await user(docker) == USER


async def test_with_no_rights_at_all(docker: Docker) -> None:
    """A volume of its own, and everything closed that can be closed."""
    closed = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
    await run_mirror(docker, *SOON, *closed)
    assert await user(docker) == USER


async def test_other_commands(docker: Docker) -> None:
    (await docker.command("run", "--rm", "mirror", "check-config")).checked()
    refused = await docker.command("run", "--rm", "-e", "MIRROR__CACHE__MAX_SISE=1", "mirror")
    assert refused.code == 2
    assert "MIRROR__CACHE__MAX_SISE" in refused.errors
