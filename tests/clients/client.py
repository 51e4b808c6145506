"""What every container engine can do, so that one claim can be tested with each of them."""

from typing import Protocol

from tests.clients.programs import Finished


class Client(Protocol):
    """Images are named in full: ``docker.io/library/hello:1``, ``ghcr.example/team/app@sha256:…``.

    Everything that does not begin with the mirror's own address goes through the mirror because
    the client is configured to use it.
    """

    @property
    def name(self) -> str: ...

    async def pull(self, image: str) -> Finished:
        """Fetch what is not here yet. The caller looks at the exit code."""
        ...

    async def told(self, image: str) -> str:
        """What the image that is here prints when it runs, or would print."""
        ...

    async def forget(self) -> None:
        """Remove every image and every layer."""
        ...


async def pulled(client: Client, image: str) -> str:
    """Pull, and what the image prints."""
    (await client.pull(image)).checked()
    return await client.told(image)
