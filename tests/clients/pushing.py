"""How each container engine pushes an image that it has, and gets it back from where it pushed."""

from tests.clients.client import Client
from tests.clients.containerd import Ctr
from tests.clients.containers import Buildah, Podman
from tests.clients.docker import Docker
from tests.clients.programs import Finished

INSECURE = "--tls-verify=false"


async def push(client: Client, image: str, target: str) -> None:
    """Push an image that the client has. ``target`` begins with the mirror's own address."""
    match client:
        case Docker():
            (await client.command("tag", image, target)).checked()
            (await client.command("push", target)).checked()
        case Ctr():
            (await client.command("images", "tag", image, target)).checked()
            (await client.command("images", "push", "--plain-http", target)).checked()
        case Podman() | Buildah():
            (await client.command("push", INSECURE, image, f"docker://{target}")).checked()
        case _:
            raise TypeError(client.name)


async def pull_back(client: Client, target: str) -> Finished:
    match client:
        case Podman():
            return await client.command("pull", INSECURE, target)
        case Buildah():
            return await client.command("pull", INSECURE, "--policy", "always", target)
        case _:
            return await client.pull(target)
