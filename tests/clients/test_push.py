"""Every client pushes what it pulled through the mirror to the mirror, and gets it back from there.

After ``docker pull nginx`` through the mirror, ``docker tag nginx 127.0.0.1:5000/nginx`` and
``docker push`` find layers that the mirror has, under a name that meant Docker Hub until then.
"""

import json
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.clients.client import Client, pulled
from tests.clients.conftest import Clients
from tests.clients.containers import Skopeo
from tests.clients.docker import Docker
from tests.clients.images import Sample, make_sample
from tests.clients.images import push as push_upstream
from tests.clients.mirror_server import HOST, URL, MirrorServer
from tests.clients.pushing import INSECURE, pull_back, push
from tests.clients.workshop import Workshop
from tests.simulated_hub import SimulatedHub

OFFICIAL = "docker.io/library/hello:1"
NAMES = ("hello", "local/hello", "team/group/hello")
"""One that Docker Hub has as ``library/hello``, and two that it does not."""
PUSHING = ("docker", "containerd", "podman", "buildah")


@pytest.fixture(params=PUSHING)
def pusher(request: pytest.FixtureRequest, clients: Clients) -> Client:
    """Each engine that pushes in turn."""
    return clients(request.param)


@pytest.fixture
def skopeo(workshop: Workshop, tmp_path: Path) -> Skopeo:
    return workshop.skopeo(tmp_path / "skopeo")


@pytest.fixture
def hello(hub: SimulatedHub, request: pytest.FixtureRequest) -> Sample:
    """An image for one platform: what there is of it, an engine that pulled it has. Each test has
    one of its own, because engines take their time to forget.
    """
    sample = make_sample("docker-image", request.node.name)
    push_upstream(hub, "library/hello", sample)
    return sample


def asked(path: str) -> bytes:
    with urllib.request.urlopen(URL + path, timeout=30) as answer:  # noqa: S310 - to the mirror of this test
        content: bytes = answer.read()
        return content


def catalog() -> Sequence[str]:
    names: Sequence[str] = json.loads(asked("/v2/_catalog"))["repositories"]
    return names


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("mirror")
async def test_what_was_pulled_is_pushed_and_comes_back(
    pusher: Client, hub: SimulatedHub, hello: Sample, name: str
) -> None:
    target = f"{HOST}/{name}:1"
    assert await pulled(pusher, OFFICIAL) == hello.told
    await push(pusher, OFFICIAL, target)
    assert name in catalog()
    # What the name meant before has moved on.
    push_upstream(hub, "library/hello", make_sample("docker-image", "newer"))
    hub.log.requests.clear()

    await pusher.forget()
    (await pull_back(pusher, target)).checked()

    assert await pusher.told(target) == hello.told
    assert hub.requests == []


@pytest.mark.usefixtures("mirror")
async def test_it_comes_back_without_a_hub(
    pusher: Client, hub: SimulatedHub, hello: Sample
) -> None:
    target = f"{HOST}/hello:mine"
    assert await pulled(pusher, OFFICIAL) == hello.told
    await push(pusher, OFFICIAL, target)
    await hub.stop()
    await pusher.forget()
    (await pull_back(pusher, target)).checked()
    assert await pusher.told(target) == hello.told


async def test_pushed_by_one_pulled_by_all(
    clients: Clients, mirror: MirrorServer, hello: Sample
) -> None:
    """Also after a restart."""
    target = f"{HOST}/team/group/hello:1"
    docker = clients("docker")
    assert await pulled(docker, OFFICIAL) == hello.told
    await push(docker, OFFICIAL, target)
    await mirror.program.kill()
    await mirror.start()
    await docker.forget()
    for name in PUSHING:
        client = clients(name) if name != "docker" else docker
        (await pull_back(client, target)).checked()
        assert await client.told(target) == hello.told


@pytest.mark.usefixtures("mirror")
async def test_docker_pushes_what_it_built_upon_a_pulled_image(
    docker: Docker, tmp_path: Path, hello: Sample
) -> None:
    """The layers are here under another name; config and manifest are new."""
    target = f"{HOST}/hello:built"
    (tmp_path / "Dockerfile").write_text(f"FROM {OFFICIAL}\nLABEL made=here\n")
    (await docker.command("build", "--tag", target, str(tmp_path))).checked()
    (await docker.command("push", target)).checked()
    await docker.forget()

    (await docker.pull(target)).checked()

    assert await docker.told(target) == hello.told
    label = await docker.command("inspect", "--format", "{{.Config.Labels.made}}", target)
    assert label.checked().output.strip() == "here"


@pytest.mark.usefixtures("mirror", "hello")
async def test_docker_tells_what_to_write_before_a_name_can_be_pushed_to(docker: Docker) -> None:
    (await docker.pull(OFFICIAL)).checked()
    target = f"{HOST}/team/hello:1"
    (await docker.command("tag", OFFICIAL, target)).checked()
    refused = await docker.command("push", target)
    assert refused.code != 0
    assert 'hosted: {namespaces: ["local/**", "team/**"]}' in refused.everything


@pytest.mark.usefixtures("mirror")
async def test_skopeo_copies_all_platforms_there_and_back(
    skopeo: Skopeo, hub: SimulatedHub, tmp_path: Path
) -> None:
    sample = make_sample("oci-index")
    push_upstream(hub, "library/hello", sample)
    source = f"docker://{OFFICIAL}"
    here, there = f"docker://{HOST}/hello:all", f"docker://{HOST}/team/group/hello:all"
    both = ("--src-tls-verify=false", "--dest-tls-verify=false")
    (await skopeo.command("copy", "--all", "--dest-tls-verify=false", source, here)).checked()
    hub.log.requests.clear()
    (await skopeo.command("copy", "--all", *both, here, there)).checked()
    back = f"oci:{tmp_path}/back:all"
    (await skopeo.command("copy", "--all", "--src-tls-verify=false", there, back)).checked()

    for image in (here, there):
        seen = await skopeo.command("inspect", "--raw", INSECURE, image)
        assert seen.checked().output.encode() == sample.content.content
    stored = Path(tmp_path, "back", "blobs", "sha256")
    for digest in (*sample.manifests, *sample.blobs):
        assert (stored / digest.partition(":")[2]).exists()
    assert hub.requests == []


@pytest.mark.usefixtures("mirror", "hello")
async def test_skopeo_deletes_what_it_copied(skopeo: Skopeo) -> None:
    target = f"docker://{HOST}/hello:1"
    copied = await skopeo.command(
        "copy", "--dest-tls-verify=false", f"docker://{OFFICIAL}", f"docker://{HOST}/local/x:1"
    )
    copied.checked()
    (await skopeo.command("delete", INSECURE, f"docker://{HOST}/local/x:1")).checked()
    assert (await skopeo.command("inspect", INSECURE, f"docker://{HOST}/local/x:1")).code != 0
    assert (await skopeo.command("delete", INSECURE, target)).code != 0
