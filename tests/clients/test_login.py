"""Users who are logged in to Docker Hub: their password is none of the mirror's business."""

import base64
import json
from pathlib import Path

import pytest

from tests.clients.client import pulled
from tests.clients.containers import Buildah, Podman, Skopeo
from tests.clients.docker import Docker
from tests.clients.images import make_sample, push
from tests.clients.mirror_server import MirrorServer
from tests.clients.workshop import Workshop
from tests.simulated_hub import SimulatedHub

USER, PASSWORD = "someone", "dckr-pat-never-to-be-seen"
LOGIN = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
HUB_KEYS = ("https://index.docker.io/v1/", "docker.io", "registry-1.docker.io")
SECRETS = (PASSWORD.encode(), LOGIN.encode())


def log_in(config: Path) -> None:
    """As ``docker login`` and ``podman login`` leave it."""
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(json.dumps({"auths": {key: {"auth": LOGIN} for key in HUB_KEYS}}))


@pytest.mark.parametrize("name", ["docker", "podman", "buildah", "skopeo"])
async def test_no_trace_of_the_password(
    name: str, workshop: Workshop, hub: SimulatedHub, mirror: MirrorServer, tmp_path: Path
) -> None:
    """Not even when the mirror cannot help, which is when a client would offer it."""
    client = workshop.make(name, tmp_path / name)
    log_in(config_of(client))
    sample = make_sample()
    push(hub, "library/hello", sample)
    push(hub, "team/secret", sample)
    hub.make_private("team/secret", "another")
    assert await pulled(client, "docker.io/library/hello:1") == sample.told
    assert (await client.pull("docker.io/team/secret:1")).code != 0
    assert (await client.pull("docker.io/team/none:1")).code != 0
    await client.forget()
    mirror.terminate()
    assert await mirror.program.ended() == 0
    assert traces(mirror) == []
    assert not [each for each in hub.requests if any(has_secret(each.headers.values()))]


def config_of(client: object) -> Path:
    match client:
        case Docker():
            return client.config / "config.json"
        case Podman() | Buildah() | Skopeo():
            return client.conf.logins
        case _:
            raise AssertionError(client)


def has_secret(values: object) -> list[bool]:
    return [secret.decode() in str(values) for secret in SECRETS]


def traces(mirror: MirrorServer) -> list[str]:
    """Files of the mirror in which the password or its encoding is found."""
    files = [path for path in mirror.data.rglob("*") if path.is_file()]
    assert mirror.data / "metadata.db" in files
    return [
        str(path)
        for path in (*files, mirror.program.log_path)
        if any(secret in path.read_bytes() for secret in SECRETS)
    ]
