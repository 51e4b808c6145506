"""A client that pushes blobs as docker does, and goes on where a server that died left off."""

import re
from dataclasses import dataclass
from io import BytesIO

import aiohttp

from tests.simulated_hub import digest_of


@dataclass(slots=True)
class BlobPush:
    """One blob on its way. ``is_acknowledged`` once a server has said that it is there."""

    name: str
    content: bytes
    location: str | None = None
    is_acknowledged: bool = False

    @property
    def digest(self) -> str:
        return digest_of(self.content)

    async def begin(self, session: aiohttp.ClientSession, url: str) -> None:
        async with session.post(f"{url}/v2/{self.name}/blobs/uploads/") as answer:
            assert answer.status == 202, await answer.text()
            self.location = answer.headers["Location"]

    async def send(self, session: aiohttp.ClientSession, url: str, start: int, stop: int) -> None:
        assert self.location is not None
        part = self.content[start:stop]
        span = {"Content-Range": f"{start}-{stop - 1}"}
        async with session.patch(url + self.location, data=BytesIO(part), headers=span) as answer:
            assert answer.status == 202, await answer.text()
            assert answer.headers["Range"] == f"0-{stop - 1}"
            self.location = answer.headers["Location"]

    async def finish(self, session: aiohttp.ClientSession, url: str) -> None:
        assert self.location is not None
        target = f"{url}{self.location}?digest={self.digest}"
        async with session.put(target) as answer:
            assert answer.status == 201, await answer.text()
            self.is_acknowledged = True

    async def run(self, session: aiohttp.ClientSession, url: str) -> None:
        """All of it, in two chunks."""
        await self.begin(session, url)
        half = len(self.content) // 2
        await self.send(session, url, 0, half)
        await self.send(session, url, half, len(self.content))
        await self.finish(session, url)

    async def go_on(self, session: aiohttp.ClientSession, url: str) -> None:
        """From where the server says it is; or from the first byte, where it knows of nothing."""
        offset = await self._offset(session, url)
        if offset is None:
            await self.begin(session, url)
            offset = 0
        assert offset <= len(self.content)
        if offset < len(self.content):
            await self.send(session, url, offset, len(self.content))
        await self.finish(session, url)

    async def _offset(self, session: aiohttp.ClientSession, url: str) -> int | None:
        if self.location is None:
            return None
        async with session.get(url + self.location) as answer:
            if answer.status == 404:
                return None
            assert answer.status == 204, await answer.text()
            found = re.fullmatch(r"0-(\d+)", answer.headers["Range"])
            assert found
            last = int(found[1])
        # Of one byte and of none, the status says the same.
        return last + 1 if last else 0

    async def is_there(self, session: aiohttp.ClientSession, url: str) -> bool:
        """Whether it is served; other bytes are never."""
        path = f"{url}/v2/{self.name}/blobs/{self.digest}"
        async with session.get(path) as answer:
            body = await answer.read()
        assert answer.status in (200, 404), body
        assert answer.status == 404 or body == self.content
        return answer.status == 200
