"""Builds get their base images through the mirror, with each builder."""

from pathlib import Path

import pytest

from tests.clients.conftest import Clients
from tests.clients.containers import Buildah
from tests.clients.docker import Docker
from tests.clients.images import Sample, make_sample, push
from tests.simulated_hub import SimulatedHub

RECIPE = """\
FROM hello:1
COPY note /note
RUN ["/bin/busybox", "test", "-s", "/note"]
"""


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text(RECIPE)
    (folder / "note").write_text("built here\n")
    return folder


@pytest.fixture
def base(hub: SimulatedHub) -> Sample:
    sample = make_sample()
    push(hub, "library/hello", sample)
    return sample


@pytest.mark.parametrize("buildkit", ["0", "1"], ids=["legacy", "buildkit"])
@pytest.mark.usefixtures("mirror")
async def test_docker(docker: Docker, base: Sample, context: Path, buildkit: str) -> None:
    builder = Docker(docker.daemon, docker.config, {"DOCKER_BUILDKIT": buildkit})
    options = ("--network", "none", "--pull", "--no-cache", "--tag", "built:1")
    (await builder.command("build", *options, str(context))).checked()
    assert await builder.told("built:1") == base.told


@pytest.mark.usefixtures("mirror")
async def test_buildah(clients: Clients, base: Sample, context: Path) -> None:
    buildah = clients("buildah")
    assert isinstance(buildah, Buildah)
    recipe = (context / "Dockerfile").read_text().replace("hello:1", "docker.io/library/hello:1")
    (context / "Dockerfile").write_text(recipe)
    options = ("--isolation", "chroot", "--pull-always", "--tag", "localhost/built:1")
    (await buildah.command("build", *options, str(context))).checked()
    assert await buildah.told("localhost/built:1") == base.told
