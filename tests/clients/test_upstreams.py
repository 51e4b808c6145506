"""Several registries behind one mirror, by each client's own way to name them; a real one too."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.client import Client, pulled
from tests.clients.conftest import MakeMirror
from tests.clients.containers import Skopeo
from tests.clients.images import Sample, make_sample, push
from tests.clients.mirror_server import HOST, OTHER
from tests.clients.programs import Program, clean_environment, find_program
from tests.clients.workshop import Workshop
from tests.simulated_hub import SimulatedHub

DISTRIBUTION = "127.0.0.1:5100"
NAME = "team/app"


@pytest.mark.usefixtures("mirror")
async def test_the_same_name_in_two_registries(
    client: Client, hub: SimulatedHub, other_hub: SimulatedHub
) -> None:
    ours, theirs = make_sample(seed="ours"), make_sample("docker-list", seed="theirs")
    push(hub, NAME, ours)
    push(other_hub, NAME, theirs)
    # Docker has mirrors for Docker Hub only; all others can name any registry and be led here.
    other = f"{HOST}/{OTHER}/{NAME}" if client.name == "docker" else f"{OTHER}/{NAME}"
    assert await pulled(client, f"{other}:1") == theirs.told
    assert not hub.requests
    assert await pulled(client, f"docker.io/{NAME}:1") == ours.told
    assert await pulled(client, f"{other}@{theirs.digest}") == theirs.told


@pytest.mark.usefixtures("mirror")
async def test_a_registry_in_the_path(
    client: Client, hub: SimulatedHub, other_hub: SimulatedHub
) -> None:
    """No client needs any configuration for that."""
    ours, theirs = make_sample(seed="ours"), make_sample(seed="theirs")
    push(hub, "library/hello", ours)
    push(other_hub, NAME, theirs)
    assert await pulled(client, f"{HOST}/{OTHER}/{NAME}:1") == theirs.told
    assert await pulled(client, f"{HOST}/docker.io/library/hello:1") == ours.told


@pytest.mark.usefixtures("mirror")
async def test_a_short_name_on_the_mirror(client: Client, hub: SimulatedHub) -> None:
    sample = make_sample()
    push(hub, "library/hello", sample)
    assert await pulled(client, f"{HOST}/hello:1") == sample.told


@pytest.fixture
def distribution(tmp_path: Path) -> Iterator[Program]:
    """The registry that most of the world runs, empty."""
    settings = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": DISTRIBUTION},
    }
    path = tmp_path / "distribution.yml"
    path.write_text(json.dumps(settings))
    argv = (find_program("docker-registry"), "serve", str(path))
    program = Program(argv, clean_environment(tmp_path), tmp_path / "distribution.log")
    program.start()
    program.wait_until(lambda: "listening on" in program.log)
    yield program
    if program.is_running:
        program.signal(signal.SIGKILL)
    program.stop()


async def test_a_real_registry_upstream(
    client: Client,
    workshop: Workshop,
    make_mirror: MakeMirror,
    distribution: Program,
    tmp_path: Path,
) -> None:
    sample = make_sample("docker-image")
    await fill(workshop.skopeo(tmp_path / "push"), sample)
    url = f"http://{DISTRIBUTION}"
    await make_mirror({"upstreams": {"docker.io": {"url": url, "default": True}}})
    assert await pulled(client, f"docker.io/{NAME}:1") == sample.told
    await distribution.kill()
    await client.forget()
    assert await pulled(client, f"docker.io/{NAME}@{sample.digest}") == sample.told


async def fill(skopeo: Skopeo, sample: Sample) -> None:
    """Push an image of one platform to the real registry."""
    folder = skopeo.folder / "sample"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_bytes(sample.image.content)
    for digest, content in sample.image.blobs.items():
        (folder / digest.partition(":")[2]).write_bytes(content)
    target = f"docker://{DISTRIBUTION}/{NAME}:1"
    (await skopeo.command("copy", "--dest-tls-verify=false", f"dir:{folder}", target)).checked()
