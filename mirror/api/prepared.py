"""Answers whose bytes are ready to be sent, each for a second at most.

A pull-through cache answers the same few manifests over and over. What the handlers rendered for
one request is kept, head and body, and sent again for an equal one, without parsing either anew.
A second is short enough that nothing has to be taken back, save what is hosted: who has pushed
or deleted something may rely on it at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

from mirror.oci.reference import Tag
from mirror.ports.clock import Clock
from mirror.registry.answer import ManifestAnswer
from mirror.registry.statistics import Result

LIFETIME = 1.0
"""Seconds."""

MOST = 1024

LARGEST = 64 * 1024
"""Bytes of content; larger manifests are rare and not worth the memory."""


@dataclass(frozen=True, slots=True)
class PreparedAnswer:
    """``content`` is all that goes over the wire; ``sent`` the bytes of it that are the body.

    ``until`` is in monotonic time. ``path`` and ``cache`` are what the access log says of it,
    ``tag`` is what was asked for, if it was one.
    """

    content: bytes
    sent: int
    until: float
    method: str
    path: str
    cache: str
    tag: Tag | None
    answer: ManifestAnswer


@dataclass(frozen=True, slots=True)
class Question:
    """A request: its target exactly as it came, and its path as the access log shows it."""

    method: str
    target: str
    path: str
    tag: Tag | None = None

    @property
    def line(self) -> bytes:
        return f"{self.method} {self.target} HTTP/1.1".encode("ascii", "replace")


class PreparedAnswers:
    """By request line, exactly as it came."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._answers: dict[bytes, PreparedAnswer] = {}
        self._changes = 0

    @property
    def changes(self) -> int:
        """How often all was forgotten. An answer from before a change is not kept after it."""
        return self._changes

    def forget(self) -> None:
        """Something that is hosted has changed."""
        self._changes += 1
        self._answers.clear()

    def find(self, request_line: bytes) -> PreparedAnswer | None:
        prepared = self._answers.get(request_line)
        if prepared is None or self._clock.monotonic() >= prepared.until:
            return None
        return prepared

    def keep(
        self, question: Question, headers: Mapping[str, str], answer: ManifestAnswer, changes: int
    ) -> None:
        """Keep a 200 with these headers, if it stays right for as long as it would be kept.

        ``changes`` is what it was before the answer was looked for.
        """
        if changes != self._changes or not _lasts(answer) or answer.content is None:
            return
        if len(self._answers) >= MOST:
            self._answers.clear()
        body = answer.content if question.method == "GET" else b""
        self._answers[question.line] = PreparedAnswer(
            content=_head(headers) + body,
            sent=len(body),
            until=self._clock.monotonic() + LIFETIME,
            method=question.method,
            path=question.path,
            cache=headers["Cache-Status"],
            tag=question.tag,
            answer=answer,
        )


def _lasts(answer: ManifestAnswer) -> bool:
    """Whether it is at hand, small, and fresh for longer than it would be kept."""
    ttl = answer.handling.ttl
    return (
        answer.handling.result in {Result.HIT, Result.HOSTED}
        and answer.descriptor.size <= LARGEST
        and (ttl is None or ttl > LIFETIME)
    )


def _head(headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {HTTPStatus.OK.value} {HTTPStatus.OK.phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Date: {formatdate(usegmt=True)}", "", ""]
    return "\r\n".join(lines).encode("ascii")
