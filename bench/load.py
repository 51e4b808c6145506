"""A small client that notes when the first byte came. It reads raw: a library costs as much as
what is measured.
"""

import asyncio
import hashlib
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

CHUNK = 256 * 1024

ACCEPT = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json"
)
"""What real clients send; older registries show OCI content to nobody else."""


@dataclass(frozen=True, slots=True)
class Download:
    """Times in seconds from the moment the request was sent. ``digest`` of the body."""

    status: int
    first_byte: float
    total: float
    size: int
    digest: str


async def download(url: str, token: str | None = None) -> Download:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2**20)
    try:
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        begun = time.perf_counter()
        writer.write(
            f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: bench\r\n"
            f"Accept: {ACCEPT}\r\n"
            f"{authorization}Connection: close\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        hasher, size, first = hashlib.sha256(), 0, 0.0
        while chunk := await reader.read(CHUNK):
            first = first or time.perf_counter() - begun
            hasher.update(chunk)
            size += len(chunk)
        total = time.perf_counter() - begun
        return Download(status, first, total, size, f"sha256:{hasher.hexdigest()}")
    finally:
        writer.close()


async def stalled_reader(url: str) -> asyncio.StreamWriter:
    """A connection that has asked and never reads; closing the writer ends it."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1024)
    protocol = asyncio.StreamReaderProtocol(reader)
    host, port = parts.hostname or "", parts.port or 80
    transport, _ = await loop.create_connection(lambda: protocol, host, port)
    transport.pause_reading()
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    writer.write(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
    return writer


async def fetch(url: str, token: str | None = None) -> bytes:
    """The body of a 200. Raises RuntimeError for any other answer."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2**20)
    try:
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        writer.write(
            f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Accept: {ACCEPT}\r\n{authorization}Connection: close\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.read()
        if head.split(b" ", 2)[1] != b"200":
            raise RuntimeError(f"{url}: {head.decode(errors='replace')}{body[:500]!r}")
        return body
    finally:
        writer.close()
