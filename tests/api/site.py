"""A hub with an image on it and a mirror in front: what most tests of the HTTP surface need."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.api.wire import Answer, connected, request
from tests.simulated_hub import Image, Index, SimulatedHub, blob, digest_of, make_image, make_index
from tests.world import Mirror, running_mirror

NAME = "library/nginx"
SMALL = blob("small", 3_000)
LAYER = blob("layer", 300_000)
IMAGE = make_image(layers=[SMALL, LAYER, b""])
INDEX = make_index([IMAGE, make_image(layers=[blob("arm", 200)], architecture="arm64")])
TAGGED = f"/v2/{NAME}/manifests/1"
BY_DIGEST = f"/v2/{NAME}/manifests/{INDEX.digest}"
LAYER_DIGEST = digest_of(LAYER)
BLOB = f"/v2/{NAME}/blobs/{LAYER_DIGEST}"


def manifest_path(item: Image | Index | str, name: str = NAME) -> str:
    return f"/v2/{name}/manifests/{item if isinstance(item, str) else item.digest}"


def blob_path(content: bytes | str, name: str = NAME) -> str:
    digest = content if isinstance(content, str) else digest_of(content)
    return f"/v2/{name}/blobs/{digest}"


@dataclass(frozen=True, slots=True)
class Site:
    hub: SimulatedHub
    mirror: Mirror

    @property
    def port(self) -> int:
        return self.mirror.port

    async def ask(self, target: str, *lines: str, method: str = "GET") -> Answer:
        """On a connection of its own."""
        async with connected(self.port) as line:
            return await line.ask(request(target, *lines, method=method))

    async def pull(self) -> None:
        """Everything there is, until it is held: blobs are complete before they are durable."""
        for path in [TAGGED, BY_DIGEST, manifest_path(IMAGE), *map(blob_path, IMAGE.blobs)]:
            status = ""
            while "hit" not in status:
                reply = await self.mirror.get(path)
                assert reply.status == 200
                status = reply.headers["Cache-Status"]
        self.mirror.lines.clear()


@asynccontextmanager
async def running_site(
    data: Path, hub: SimulatedHub, more: Mapping[str, str] | None = None
) -> AsyncIterator[Site]:
    hub.push(NAME, "1", INDEX)
    async with running_mirror(data, hub, more) as mirror:
        yield Site(hub, mirror)
