"""A client that shows exactly what came over the wire, legal or not."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Literal

from multidict import CIMultiDict

Ending = Literal["closed", "reset"]


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """`body` is what followed the headers, framing included."""

    status: int | None
    """None: no complete headers came."""
    headers: CIMultiDict[str]
    body: bytes
    ending: Ending
    received: bytes


async def raw_request(host: str, target: str, method: str = "GET", **headers: str) -> RawAnswer:
    """Ask on a connection of its own, and read until the other side ends it.

    Header names are given with underscores: `If_Range='"x"'`.
    """
    reader, writer = await open_raw(host, target, method, **headers)
    received = bytearray()
    ending: Ending = "closed"
    try:
        while data := await reader.read(65536):
            received += data
    except ConnectionResetError:
        ending = "reset"
    finally:
        await hang_up(writer)
    return parsed(bytes(received), ending)


async def open_raw(
    host: str, target: str, method: str = "GET", **headers: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask, and leave the reading to the caller."""
    name, _, port = host.partition(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    sent = {"Host": host, "Connection": "close", **headers}
    lines = [f"{key.replace('_', '-')}: {value}" for key, value in sent.items()]
    writer.write("\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode())
    return reader, writer


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def parsed(received: bytes, ending: Ending) -> RawAnswer:
    head, found, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    if not found or not first.startswith("HTTP/"):
        return RawAnswer(None, CIMultiDict(), b"", ending, received)
    pairs = (line.partition(": ") for line in lines)
    headers = CIMultiDict((name, value) for name, _, value in pairs)
    return RawAnswer(int(first.split(" ")[1]), headers, body, ending, received)
