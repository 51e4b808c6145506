"""One line for every request, whatever became of it. Holds no header but the user agent."""

from collections.abc import Callable
from datetime import datetime

import msgspec
from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from mirror.ports.clock import Clock

LONGEST = 512

SENT: web.RequestKey[int] = web.RequestKey("sent", int)
"""Bytes of content sent by other means than the response's own body."""


class AccessLine(msgspec.Struct, frozen=True):
    """``seconds`` from the head of the request to the end of the answer; ``bytes`` of content
    that were sent; ``cache`` what the cache did.
    """

    time: datetime
    client: str
    method: str
    path: str
    status: int
    bytes: int
    seconds: float
    agent: str
    cache: str


AccessSink = Callable[[AccessLine], None]


def as_json(line: AccessLine) -> str:
    return msgspec.json.encode(line).decode()


def as_text(line: AccessLine) -> str:
    text = (
        f"{line.time.isoformat(timespec='milliseconds')} {line.client} "
        f"{line.method} {line.path} {line.status} {line.bytes}B {line.seconds * 1000:.1f}ms"
    )
    extra = f"{f' [{line.cache}]' if line.cache else ''} {line.agent}".rstrip()
    return _printable(text + extra)


def logged_path(request: web.BaseRequest) -> str:
    """The decoded path, in what JSON can carry: clients send any bytes."""
    return _encodable(request.path)


def client_address(transport: object) -> str:
    """The peer of a connection: never what a header says."""
    get_extra_info = getattr(transport, "get_extra_info", None)
    peer = get_extra_info("peername") if get_extra_info else None
    return str(peer[0]) if isinstance(peer, tuple) and peer else "-"


def access_logger(
    sink: AccessSink,
    clock: Clock,
    finished: Callable[[web.BaseRequest, web.StreamResponse], None],
) -> type[AbstractAccessLogger]:
    """The class that the framework asks for; ``finished`` is told of the end of each answer."""

    class AccessLogger(AbstractAccessLogger):
        def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
            sink(_line(clock.now(), request, response, time))
            finished(request, response)

    return AccessLogger


def _line(
    now: datetime, request: web.BaseRequest, response: web.StreamResponse, seconds: float
) -> AccessLine:
    sent = request.get(SENT)
    return AccessLine(
        time=now,
        client=client_address(request.transport) if request.transport else "-",
        method=_encodable(request.method),
        path=logged_path(request),
        status=response.status,
        bytes=_body_length(request, response) if sent is None else sent,
        seconds=round(seconds, 6),
        agent=_encodable(request.headers.get("User-Agent", "")),
        cache=_encodable(response.headers.get("Cache-Status", "")),
    )


def _body_length(request: web.BaseRequest, response: web.StreamResponse) -> int:
    """What the framework counts holds the head too."""
    body = response.body if isinstance(response, web.Response) else None
    return len(body) if isinstance(body, bytes) and request.method != "HEAD" else 0


def _encodable(text: str) -> str:
    """Shortened, and without the surrogates that stand for bytes outside UTF-8."""
    return text[:LONGEST].encode("utf-8", "replace").decode()


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
