"""What each kind of fault makes of a right answer. Pure: sending is in `sending`."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from tests.simulated_hub.content import digest_of
from tests.simulated_hub.faults import Fault, Kind
from tests.simulated_hub.log import Request
from tests.simulated_hub.reply import Octets, Reply, content, failure, redirect
from tests.simulated_hub.rootfs import GZIP_WINDOW

PORTAL = (
    b"<!DOCTYPE html><html><title>Welcome</title><body>Please log in to the Wi-Fi</body></html>"
)
CHUNK = 32 * 1024
HUGE = 1024 * 1024
BODILESS = (204, 304)
Break = Literal["reset", "close", "stall"]
Spoil = Callable[[Reply, Fault, Request], Reply]


@dataclass(frozen=True, slots=True)
class Manner:
    """How an answer travels. `at` counts body bytes; None is before the first header."""

    breaks: Break | None = None
    at: int | None = None
    drip_seconds: float | None = None
    head_seconds: float | None = None
    delay_seconds: float = 0.0
    endless: bool = False
    headless: bool = False
    """The body only, which need not be HTTP."""


def manner_of(fault: Fault | None) -> Manner:
    if fault is None:
        return Manner()
    match fault.kind:
        case "reset" | "close" | "stall":
            return Manner(breaks=fault.kind, at=fault.at)
        case "drip":
            return Manner(at=fault.at or 0, drip_seconds=fault.seconds)
        case "slow_headers":
            return Manner(head_seconds=fault.seconds)
        case "delay":
            return Manner(delay_seconds=fault.seconds)
        case "endless":
            return Manner(endless=True)
        case "garbage":
            return Manner(headless=True)
        case _:
            return Manner()


def replacement(fault: Fault, request: Request) -> Reply | None:
    """The answer of a fault that needs no right one; None for the others."""
    match fault.kind:
        case "status":
            return adorned(refused(fault), fault)
        case "html":
            return adorned(content(fault.status or 200, fault.body or PORTAL, "text/html"), fault)
        case "redirect":
            return adorned(redirect(fault.status or 307, fault.location or request.target), fault)
        case _:
            return None


def spoiled(reply: Reply, fault: Fault, request: Request) -> Reply:
    """The right answer after the fault."""
    spoil = SPOILS.get(fault.kind)
    if spoil is not None:
        reply = spoil(reply, fault, request)
    return adorned(reply, fault)


def adorned(reply: Reply, fault: Fault) -> Reply:
    if fault.retry_after is not None:
        reply = reply.having(("Retry-After", str(fault.retry_after)))
    return reply.having(*fault.headers) if fault.headers else reply


def refused(fault: Fault) -> Reply:
    status = fault.status or 500
    if fault.body is not None:
        return content(status, fault.body, "text/plain")
    if status in BODILESS:
        return Reply(status)
    return failure(status, "UNKNOWN", "the simulated hub was told to fail")


def middle(fault: Fault, body: Octets) -> int:
    return len(body) // 2 if fault.at is None else fault.at


def flip(reply: Reply, fault: Fault, _: Request) -> Reply:
    body = bytearray(reply.body)
    if body:
        body[middle(fault, reply.body)] ^= 1
    return replace(reply, body=bytes(body))


def pad(reply: Reply, fault: Fault, _: Request) -> Reply:
    filler = b" " * (fault.size or 1) if fault.body is None else fault.body
    return reply.carrying(bytes(reply.body) + filler)


def truncate(reply: Reply, fault: Fault, _: Request) -> Reply:
    return reply.carrying(reply.body[: middle(fault, reply.body)])


def other_blob(reply: Reply, fault: Fault, _: Request) -> Reply:
    return reply.carrying(fault.body or b"")


def gzip(reply: Reply, _fault: Fault, _: Request) -> Reply:
    packed = zlib.compress(bytes(reply.body), 1, GZIP_WINDOW)
    return reply.carrying(packed).having(("Content-Encoding", "gzip"))


def long_length(reply: Reply, fault: Fault, _: Request) -> Reply:
    """Promises more than it sends, then closes."""
    promised = len(reply.body) + (fault.size or 1)
    return replace(reply.having(("Content-Length", str(promised))), close=True)


def short_length(reply: Reply, fault: Fault, _: Request) -> Reply:
    """Promises `at` bytes, by default half, and sends all."""
    promised = middle(fault, reply.body)
    return replace(reply.having(("Content-Length", str(promised))), close=True)


def no_length(reply: Reply, fault: Fault, _: Request) -> Reply:
    """Ends by closing; with `at`, too early, and nothing in HTTP tells."""
    bare = reply.without("Content-Length").having(("Connection", "close"))
    return replace(bare, body=reply.body[: fault.at], close=True)


def no_length_header(reply: Reply, _fault: Fault, request: Request) -> Reply:
    bare = reply.without("Content-Length")
    return bare if request.method == "HEAD" else replace(bare, close=True)


def duplicate_length(reply: Reply, _fault: Fault, _: Request) -> Reply:
    more = ("Content-Length", str(len(reply.body) + 1))
    return replace(reply, headers=(*reply.headers, more), close=True)


def chunked(reply: Reply, fault: Fault, _: Request) -> Reply:
    """With `at`, ends there, and properly."""
    return in_chunks(reply, reply.body[: fault.at], b"0\r\n\r\n")


def bad_chunk(reply: Reply, fault: Fault, _: Request) -> Reply:
    kept = reply.body[: middle(fault, reply.body)]
    return replace(in_chunks(reply, kept, b"xyz\r\nnot a chunk\r\n"), close=True)


def unterminated_chunks(reply: Reply, fault: Fault, _: Request) -> Reply:
    """With `at`, ends there; the last chunk never comes."""
    return replace(in_chunks(reply, reply.body[: fault.at], b""), close=True)


def length_and_chunked(reply: Reply, _fault: Fault, _: Request) -> Reply:
    both = in_chunks(reply, reply.body, b"0\r\n\r\n")
    return replace(both.having(("Content-Length", str(len(reply.body)))), close=True)


def in_chunks(reply: Reply, body: Octets, end: bytes) -> Reply:
    pieces = [body[start : start + CHUNK] for start in range(0, len(body), CHUNK)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), bytes(piece)) for piece in pieces) + end
    bare = reply.without("Content-Length").having(("Transfer-Encoding", "chunked"))
    return replace(bare, body=framed)


def endless(reply: Reply, _fault: Fault, _: Request) -> Reply:
    """The body again and again until the client has had enough."""
    bare = reply.without("Content-Length").having(("Connection", "close"))
    return replace(bare, close=True)


def wrong_type(reply: Reply, _fault: Fault, _: Request) -> Reply:
    return reply.having(("Content-Type", "text/plain; charset=utf-8"))


def no_digest_header(reply: Reply, _fault: Fault, _: Request) -> Reply:
    return reply.without("Docker-Content-Digest", "ETag")


def wrong_digest_header(reply: Reply, _fault: Fault, _: Request) -> Reply:
    wrong = digest_of(b"something else")
    return reply.having(("Docker-Content-Digest", wrong), ("ETag", f'"{wrong}"'))


def huge_header(reply: Reply, fault: Fault, _: Request) -> Reply:
    return reply.having(("X-Huge", "x" * (fault.size or HUGE)))


def partial_uninvited(reply: Reply, fault: Fault, _: Request) -> Reply:
    """206 for a plain GET, from `at`, by default the middle, to the end."""
    if reply.status != 200:
        return reply
    start, size = middle(fault, reply.body), len(reply.body)
    part = replace(reply, status=206).carrying(reply.body[start:])
    return part.having(("Content-Range", f"bytes {start}-{size - 1}/{size}"))


def wrong_content_range(reply: Reply, _fault: Fault, _: Request) -> Reply:
    """The right bytes under an offset one too high."""
    claimed = reply.header("Content-Range")
    if claimed is None:
        return reply
    first, _dash, rest = claimed.removeprefix("bytes ").partition("-")
    last, _slash, size = rest.partition("/")
    return reply.having(("Content-Range", f"bytes {int(first) + 1}-{int(last) + 1}/{size}"))


def shifted_range(reply: Reply, _fault: Fault, _: Request) -> Reply:
    """The offset that was asked for, and the bytes of another one."""
    return replace(reply, body=bytes(reply.body[1:]) + b"\0")


def garbage(reply: Reply, fault: Fault, _: Request) -> Reply:
    return replace(reply, body=fault.body or b"\x15\x03\x01\x00\x02\x02\x28", close=True)


SPOILS: Mapping[Kind, Spoil] = {
    "flip": flip,
    "pad": pad,
    "truncate": truncate,
    "other_blob": other_blob,
    "gzip": gzip,
    "long_length": long_length,
    "short_length": short_length,
    "no_length": no_length,
    "no_length_header": no_length_header,
    "duplicate_length": duplicate_length,
    "chunked": chunked,
    "bad_chunk": bad_chunk,
    "unterminated_chunks": unterminated_chunks,
    "length_and_chunked": length_and_chunked,
    "endless": endless,
    "wrong_type": wrong_type,
    "no_digest_header": no_digest_header,
    "wrong_digest_header": wrong_digest_header,
    "huge_header": huge_header,
    "partial_uninvited": partial_uninvited,
    "wrong_content_range": wrong_content_range,
    "shifted_range": shifted_range,
    "garbage": garbage,
}
