"""A client that uploads blobs, one request at a time, as bytes on a connection."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from mirror.oci.digest import Digest, digest_of
from tests.api.services import MemoryMirror
from tests.api.serving import serving
from tests.api.wire import Answer, connected, request

NAME = "ours"
UPLOADS = f"/v2/{NAME}/blobs/uploads/"
CONTENT = bytes(range(256)) * 40
DIGEST = digest_of(CONTENT)
NO_SUCH = f"{UPLOADS}{'0' * 32}"


@dataclass(frozen=True, slots=True)
class Uploading:
    """A server, and what it holds."""

    port: int
    mirror: MemoryMirror

    async def ask(self, method: str, target: str, *lines: str, body: bytes | None = None) -> Answer:
        """On a connection of its own."""
        async with connected(self.port) as line:
            return await line.ask(sent(method, target, *lines, body=body))

    async def begin(self, content: bytes = b"") -> str:
        """Where the upload goes on that has so much."""
        started = await self.ask("POST", UPLOADS, body=b"")
        assert started.status == 202, started.body
        if content:
            appended = await self.ask("PATCH", started["Location"], body=content)
            assert appended.status == 202, appended.body
        return started["Location"]

    async def offset(self, location: str) -> int:
        """As clients read it, of an upload that has at least one byte."""
        answer = await self.ask("GET", location)
        assert answer.status == 204, answer.status
        first, _, last = answer["Range"].partition("-")
        assert first == "0"
        return int(last) + 1

    async def push(self, content: bytes, name: str = NAME) -> Digest:
        digest = digest_of(content)
        pushed = await self.ask("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", body=content)
        assert pushed.status == 201, pushed.body
        return digest

    async def pull(self, digest: Digest, name: str = NAME) -> Answer:
        return await self.ask("GET", f"/v2/{name}/blobs/{digest}")


def sent(method: str, target: str, *lines: str, body: bytes | None = None) -> bytes:
    """A request and its body, with its length."""
    if body is None:
        return request(target, *lines, method=method)
    return request(target, f"Content-Length: {len(body)}", *lines, method=method) + body


def chunked(method: str, target: str, chunks: Sequence[bytes], *lines: str) -> bytes:
    """As docker sends a layer of which it does not know how long it will be."""
    head = request(target, "Transfer-Encoding: chunked", *lines, method=method)
    return head + b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in (*chunks, b""))


def finishing(location: str, digest: Digest | str = DIGEST) -> str:
    return f"{location}?digest={digest}"


@asynccontextmanager
async def uploading_to(mirror: MemoryMirror) -> AsyncIterator[Uploading]:
    async with serving(mirror) as server:
        yield Uploading(server.port, mirror)
