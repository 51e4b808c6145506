"""A client that pulls whole images and believes nothing: every byte is held against its digest."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import aiohttp

from tests.simulated_hub import Image, Index, digest_of

ACCEPT = {
    "Accept": ", ".join(
        f"application/vnd.{kind}+json"
        for kind in (
            "oci.image.index.v1",
            "oci.image.manifest.v1",
            "docker.distribution.manifest.list.v2",
            "docker.distribution.manifest.v2",
        )
    )
}
BROKEN = (aiohttp.ClientError, ConnectionError, TimeoutError)


class PullFailed(Exception):
    """The server did not give what was asked for, and said so or broke off."""


@dataclass(frozen=True, slots=True)
class Client:
    """Asks one server. Wrong bytes are an AssertionError wherever they appear, never a failure."""

    session: aiohttp.ClientSession
    url: str
    suffix: str = ""
    """Of every path, such as `?ns=docker.io`."""

    sent: Counter[str] = field(default_factory=Counter)
    """How often each path was asked for, broken answers and those that never came included."""

    async def pull(self, name: str, tag: str, image: Index) -> None:
        """The tag, and all that it names. Raises PullFailed."""
        assert await self.resolve(name, tag) == image.digest
        await self.pull_content(name, image)

    async def pull_content(self, name: str, content: Index | Image) -> None:
        """By digest, with everything below."""
        await self.get(f"/v2/{name}/manifests/{content.digest}", content.digest)
        if isinstance(content, Index):
            for child in content.images:
                await self.pull_content(name, child)
        else:
            await gather_all(self.blob(name, digest) for digest in content.blobs)

    async def resolve(self, name: str, tag: str) -> str:
        """The digest that a HEAD of the tag tells."""
        try:
            async with self._ask("HEAD", f"/v2/{name}/manifests/{tag}") as answer:
                if answer.status != 200:
                    raise PullFailed(f"{name}:{tag} {answer.status}")
                return answer.headers["Docker-Content-Digest"]
        except BROKEN as error:
            raise PullFailed(f"{name}:{tag} {error!r}") from error

    async def blob(self, name: str, digest: str) -> bytes:
        return await self.get(f"/v2/{name}/blobs/{digest}", digest)

    async def resumed_blob(self, name: str, digest: str, size: int) -> bytes:
        """As all engines do: what breaks off is continued where it broke off."""
        content = b""
        for _ in range(5):
            content += await self._rest(f"/v2/{name}/blobs/{digest}", len(content), size)
            if len(content) == size:
                assert digest_of(content) == digest
                return content
        raise PullFailed(f"{digest} broke off again and again")

    async def get(self, path: str, digest: str) -> bytes:
        """What the digest names. Raises PullFailed."""
        try:
            async with self._ask("GET", path) as answer:
                content = await answer.read()
        except BROKEN as error:
            raise PullFailed(f"{path} {error!r}") from error
        if answer.status != 200:
            raise PullFailed(f"{path} {answer.status} {content!r}")
        assert digest_of(content) == digest, f"{path}: a complete answer with other bytes"
        assert answer.headers["Docker-Content-Digest"] == digest
        return content

    async def stats(self) -> dict[str, Any]:
        """What the server says of itself."""
        async with self.session.get(f"{self.url}/api/v1/stats") as answer:
            return dict(await answer.json())

    async def kept(self) -> None:
        """Nothing is on its way to the disk any more: clients have it a moment earlier."""
        while (await self.stats())["fills"]:
            pass

    async def _rest(self, path: str, start: int, size: int) -> bytes:
        headers = {"Range": f"bytes={start}-"} if start else {}
        received = bytearray()
        try:
            async with self._ask("GET", path, headers) as answer:
                if answer.status != (206 if start else 200):
                    raise PullFailed(f"{path} {answer.status}")
                if start:
                    assert answer.headers["Content-Range"] == f"bytes {start}-{size - 1}/{size}"
                async for chunk in answer.content.iter_any():
                    received += chunk
        except BROKEN:
            pass
        return bytes(received)

    def _ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self.session.request(
            method, self.url + path + self.suffix, headers=ACCEPT | dict(headers or {})
        )


async def gather_all(work: Iterable[Coroutine[object, object, object]]) -> None:
    """All of it, and only then the first failure: nothing is left running."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


@asynccontextmanager
async def client_of(url: str, suffix: str = "", patience: float = 30) -> AsyncIterator[Client]:
    sent: Counter[str] = Counter()

    async def count(
        _: aiohttp.ClientSession, __: SimpleNamespace, begun: aiohttp.TraceRequestStartParams
    ) -> None:
        sent[begun.url.path] += 1

    tracing = aiohttp.TraceConfig()
    tracing.on_request_start.append(count)
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=patience),
        connector=aiohttp.TCPConnector(limit=0),
        auto_decompress=False,
        trace_configs=[tracing],
    ) as session:
        yield Client(session, url, suffix, sent)
