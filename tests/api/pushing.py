"""A client that pushes, deletes and lists, over one connection pool and the real server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.simulated_hub import Image, Index
from tests.world import Mirror, Reply


@dataclass(frozen=True, slots=True)
class Pusher:
    """``name`` is the repository."""

    mirror: Mirror
    name: str

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Below the repository."""
        url = f"{self.mirror.url}/v2/{self.name}/{path}"
        async with self.mirror.client.request(method, url, data=body, headers=headers) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def put_blobs(self, blobs: Mapping[str, bytes]) -> None:
        for digest, content in blobs.items():
            reply = await self.ask("POST", f"blobs/uploads/?digest={digest}", content)
            assert reply.status == 201, reply

    async def put(self, reference: str, pushed: Image | Index, tags: Sequence[str] = ()) -> Reply:
        """The manifest alone."""
        query = "&".join(f"tag={tag}" for tag in tags)
        path = f"manifests/{reference}{'?' if query else ''}{query}"
        return await self.ask("PUT", path, pushed.content, {"Content-Type": pushed.media_type})

    async def push(self, tag: str | None, pushed: Image | Index) -> Reply:
        """All of it."""
        if isinstance(pushed, Index):
            for image in pushed.images:
                await self.push(None, image)
        else:
            await self.put_blobs(pushed.blobs)
        reply = await self.put(tag or pushed.digest, pushed)
        assert reply.status == 201, reply
        return reply

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        return await self.ask("GET", path, headers=headers)

    async def head(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        return await self.ask("HEAD", path, headers=headers)

    async def delete(self, path: str) -> Reply:
        return await self.ask("DELETE", path)
