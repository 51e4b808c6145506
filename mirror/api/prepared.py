"""Answers whose bytes are ready to be sent, each for a second at most.

A pull-through cache answers the same few manifests over and over. What the handlers rendered for
one request is kept, head and body, and sent again for an equal one, without parsing either anew.
A second is short enough that nothing ever has to be taken back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

from mirror.registry.answer import ManifestAnswer

LIFETIME = 1.0
"""Seconds."""

MOST = 1024

LARGEST = 64 * 1024
"""Bytes of content; larger manifests are rare and not worth the memory."""


@dataclass(frozen=True, slots=True)
class PreparedAnswer:
    """``content`` is all that goes over the wire; ``sent`` the bytes of it that are the body.

    ``until`` is in the event loop's time. ``cache`` is what the access log says of it.
    """

    content: bytes
    sent: int
    until: float
    method: str
    path: str
    cache: str
    answer: ManifestAnswer


class PreparedAnswers:
    """By request line, exactly as it came."""

    def __init__(self) -> None:
        self._answers: dict[bytes, PreparedAnswer] = {}

    def find(self, request_line: bytes, now: float) -> PreparedAnswer | None:
        prepared = self._answers.get(request_line)
        return prepared if prepared is not None and now < prepared.until else None

    def keep(
        self, request_line: bytes, headers: Mapping[str, str], answer: ManifestAnswer, now: float
    ) -> None:
        """Keep a 200 with these headers, unless it is too large or was not from memory."""
        if answer.content is None or answer.descriptor.size > LARGEST:
            return
        if len(self._answers) >= MOST:
            self._answers.clear()
        method, target, _ = request_line.decode("ascii").split(" ")
        body = answer.content if method == "GET" else b""
        self._answers[request_line] = PreparedAnswer(
            content=_head(headers) + body,
            sent=len(body),
            until=now + LIFETIME,
            method=method,
            path=target.partition("?")[0],
            cache=headers["Cache-Status"],
            answer=answer,
        )


def _head(headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {HTTPStatus.OK.value} {HTTPStatus.OK.phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Date: {formatdate(usegmt=True)}", "", ""]
    return "\r\n".join(lines).encode("ascii")
