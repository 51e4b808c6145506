"""What clients find out about a repository through the mirror: its tags, and all images of it."""

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from tests.clients.client import pulled
from tests.clients.containers import Podman, Skopeo
from tests.clients.docker import Docker
from tests.clients.images import Sample, make_sample
from tests.clients.mirror_server import HOST, OTHER
from tests.clients.programs import Finished
from tests.clients.workshop import Workshop
from tests.simulated_hub import SimulatedHub

NAME = "library/hello"
TAGS = ("1", "1.10", "1.9", "Edge", "latest")
PLACES = [f"{HOST}/{NAME}", f"{HOST}/hello", f"{HOST}/docker.io/{NAME}"]
"""For tags podman and skopeo ask the registry that is named, never its mirrors."""


@pytest.fixture
def skopeo(workshop: Workshop, tmp_path: Path) -> Skopeo:
    return workshop.skopeo(tmp_path / "skopeo")


@pytest.fixture
async def podman(workshop: Workshop, tmp_path: Path) -> AsyncIterator[Podman]:
    podman = workshop.podman(tmp_path / "podman")
    yield podman
    await podman.forget()


def push_tags(hub: SimulatedHub) -> Mapping[str, Sample]:
    samples = {tag: make_sample(seed=tag) for tag in TAGS}
    for tag, sample in samples.items():
        hub.push(NAME, tag, sample.content)
    return samples


def document(finished: Finished) -> dict[str, object]:
    read: dict[str, object] = json.loads(finished.checked().output)
    return read


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.usefixtures("mirror")
async def test_skopeo_lists_tags(skopeo: Skopeo, hub: SimulatedHub, place: str) -> None:
    push_tags(hub)
    for _ in range(2):
        listed = document(
            await skopeo.command("list-tags", "--tls-verify=false", f"docker://{place}")
        )
        assert listed == {"Repository": place, "Tags": list(TAGS)}
    assert hub.count("tags", status=200) == 1


@pytest.mark.usefixtures("mirror")
async def test_skopeo_inspects_with_tags(skopeo: Skopeo, hub: SimulatedHub) -> None:
    samples = push_tags(hub)
    image = f"docker://{HOST}/{NAME}:1.9"
    seen = document(await skopeo.command("inspect", "--tls-verify=false", image))
    assert seen["RepoTags"] == list(TAGS)
    assert seen["Digest"] == samples["1.9"].digest


@pytest.mark.usefixtures("mirror")
async def test_skopeo_goes_on_when_the_hub_is_gone(skopeo: Skopeo, hub: SimulatedHub) -> None:
    push_tags(hub)
    image = f"docker://{HOST}/{NAME}:1"
    before = document(await skopeo.command("inspect", "--tls-verify=false", image))
    await hub.stop()
    assert document(await skopeo.command("inspect", "--tls-verify=false", image)) == before


@pytest.mark.usefixtures("mirror")
async def test_what_was_pulled_is_listed_without_the_hub(
    podman: Podman, skopeo: Skopeo, hub: SimulatedHub
) -> None:
    push_tags(hub)
    assert await pulled(podman, f"docker.io/{NAME}:1.9")
    await hub.stop()
    repository = f"docker://{HOST}/{NAME}"
    listed = document(await skopeo.command("list-tags", "--tls-verify=false", repository))
    assert listed["Tags"] == ["1.9"]


@pytest.mark.parametrize("place", ["hello", f"{HOST}/{NAME}", f"{HOST}/hello"])
@pytest.mark.usefixtures("mirror")
async def test_docker_pulls_every_tag(docker: Docker, hub: SimulatedHub, place: str) -> None:
    samples = push_tags(hub)
    (await docker.command("pull", "--all-tags", place)).checked()
    await hub.stop()
    for tag, sample in samples.items():
        assert await docker.told(f"{place}:{tag}") == sample.told


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.usefixtures("mirror")
async def test_podman_pulls_every_tag(podman: Podman, hub: SimulatedHub, place: str) -> None:
    samples = push_tags(hub)
    (await podman.command("pull", "--all-tags", place)).checked()
    for tag, sample in samples.items():
        assert await podman.told(f"{place}:{tag}") == sample.told


@pytest.mark.usefixtures("mirror")
async def test_another_registry_has_tags_too(
    skopeo: Skopeo, hub: SimulatedHub, other_hub: SimulatedHub
) -> None:
    push_tags(hub)
    other_hub.push(NAME, "theirs", make_sample().content)
    repository = f"docker://{HOST}/{OTHER}/{NAME}"
    listed = document(await skopeo.command("list-tags", "--tls-verify=false", repository))
    assert listed["Tags"] == ["theirs"]
