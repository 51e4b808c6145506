"""A small client that pushes: one connection, raw, and files go out by ``sendfile``."""

import asyncio
import hashlib
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

OCTETS = "application/octet-stream"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"

PATIENCE = 120.0
"""Seconds that one answer may take."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]


class Pusher:
    """Requests one after the other over one connection. Raises RuntimeError for what is no 2xx."""

    def __init__(self, url: str, sock: socket.socket) -> None:
        self._host = urlsplit(url).netloc
        self._sock = sock
        self._loop = asyncio.get_running_loop()

    @staticmethod
    async def connect(url: str) -> "Pusher":
        parts = urlsplit(url)
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, (parts.hostname or "", parts.port or 80))
        return Pusher(url, sock)

    def close(self) -> None:
        self._sock.close()

    async def request(
        self, method: str, target: str, body: bytes = b"", media_type: str = OCTETS
    ) -> Reply:
        head = self._head(method, target, len(body), media_type)
        await self._loop.sock_sendall(self._sock, head + body)
        return await self._reply(f"{method} {target}")

    async def send_file(self, method: str, target: str, path: Path) -> Reply:
        size = path.stat().st_size
        await self._loop.sock_sendall(self._sock, self._head(method, target, size, OCTETS))
        with path.open("rb") as file:
            await self._loop.sock_sendfile(self._sock, file, fallback=False)
        return await self._reply(f"{method} {target}")

    def _head(self, method: str, target: str, length: int, media_type: str) -> bytes:
        return (
            f"{method} {target} HTTP/1.1\r\nHost: {self._host}\r\nUser-Agent: bench\r\n"
            f"Content-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n"
        ).encode()

    async def _reply(self, what: str) -> Reply:
        async with asyncio.timeout(PATIENCE):
            received = b""
            while b"\r\n\r\n" not in received:
                received += await self._receive(what)
            head, _, body = received.partition(b"\r\n\r\n")
            status, headers = _parse(head)
            missing = int(headers.get("content-length", "0")) - len(body)
            while missing > 0:
                missing -= len(await self._receive(what))
        if not 200 <= status < 300:
            raise RuntimeError(f"{what}: {status} {body[:500]!r}")
        return Reply(status, headers)

    async def _receive(self, what: str) -> bytes:
        part = await self._loop.sock_recv(self._sock, 65536)
        if not part:
            raise RuntimeError(f"{what}: the server closed the connection")
        return part


def _parse(head: bytes) -> tuple[int, Mapping[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = (line.partition(":") for line in lines)
    return int(first.split(" ")[1]), {name.lower(): value.strip() for name, _, value in fields}


async def push_file(pusher: Pusher, name: str, path: Path, digest: str) -> None:
    """As docker does: POST, one PATCH with everything, PUT with the digest."""
    begun = await pusher.request("POST", f"/v2/{name}/blobs/uploads/")
    sent = await pusher.send_file("PATCH", _target(begun), path)
    await pusher.request("PUT", _with_digest(_target(sent), digest))


async def push_blob(pusher: Pusher, name: str, content: bytes) -> str:
    """POST and one PUT with everything. Its digest."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    begun = await pusher.request("POST", f"/v2/{name}/blobs/uploads/")
    await pusher.request("PUT", _with_digest(_target(begun), digest), content)
    return digest


async def push_image(pusher: Pusher, name: str, tag: str, layers: int, size: int) -> None:
    """Of random layers of ``size`` bytes each, which nobody has."""
    parts = [(CONFIG, json.dumps({"tag": tag, "salt": os.urandom(8).hex()}).encode())]
    parts += [(LAYER, os.urandom(size)) for _ in range(layers)]
    config, *rest = [
        {"mediaType": kind, "digest": await push_blob(pusher, name, part), "size": len(part)}
        for kind, part in parts
    ]
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": rest}
    content = json.dumps(manifest).encode()
    await pusher.request("PUT", f"/v2/{name}/manifests/{tag}", content, MANIFEST)


def _target(reply: Reply) -> str:
    parts = urlsplit(reply.headers["location"])
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _with_digest(target: str, digest: str) -> str:
    return f"{target}{'&' if '?' in target else '?'}digest={digest}"
