"""The bytes of a blob, or of a part of it: what an answer promises, and whether it keeps it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus

from mirror.oci.byte_range import parse_content_range
from mirror.ports.upstream import UpstreamError, UpstreamInvalid, UpstreamUnreachable
from mirror.upstream.tally import Tally


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes asked for: ``start`` to ``stop`` (half open), to the end without ``stop``."""

    start: int
    stop: int | None

    @property
    def is_whole(self) -> bool:
        return self.start == 0 and self.stop is None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with a body: discard ``skip`` bytes, then deliver ``wanted``.

    ``promised`` are the bytes that follow the discarded ones; more of them are a lie, fewer an
    accident. None stands for "all there are" and "not said". ``size`` is that of the whole blob.
    """

    size: int | None
    skip: int
    wanted: int | None
    promised: int | None


def plan_download(
    status: int, content_range: str | None, length: int | None, span: Span
) -> Plan | str:
    """How to get the span out of the body of a 200 or 206, or why it cannot be got.

    ``length`` is the body's, None if it was not said.
    """
    if status == HTTPStatus.PARTIAL_CONTENT and not span.is_whole:
        return _plan_part(content_range, length, span)
    if status != HTTPStatus.OK:
        return f"answered {status} where {200 if span.is_whole else 206} was due"
    if length is None:
        wanted = None if span.stop is None else span.stop - span.start
        return Plan(None, span.start, wanted, None)
    if 0 < length <= span.start or length < span.start:
        return f"has {length} bytes where byte {span.start} was asked for"
    stop = length if span.stop is None else min(span.stop, length)
    return Plan(length, span.start, stop - span.start, length - span.start)


def _plan_part(content_range: str | None, length: int | None, span: Span) -> Plan | str:
    parsed = parse_content_range(content_range or "")
    if parsed is None:
        return "answered 206 without a Content-Range"
    part, size = parsed
    if part.start != span.start or (span.stop is not None and part.stop > span.stop):
        return f"sent bytes {part.start} to {part.stop - 1} where others were asked for"
    if length is not None and length != part.length:
        return "sent a Content-Range that differs from its Content-Length"
    ends = (end for end in (span.stop, size) if end is not None)
    return Plan(size, 0, min(ends, default=part.stop) - part.start, part.length)


async def cut(body: AsyncIterator[bytes], plan: Plan, host: str) -> AsyncIterator[bytes]:
    """The wanted bytes of a body. ``host`` is who sends it, for the errors.

    Raises UpstreamUnreachable when it ends before the last of them, and UpstreamInvalid, after
    the last one that was promised, when it goes on.
    """
    position = -plan.skip
    async for received in body:
        chunk = received[-position:] if position < 0 else received
        delivered = max(position, 0)
        position += len(received)
        promised = _first(chunk, delivered, plan.promised)
        if wanted := _first(promised, delivered, plan.wanted):
            yield wanted
        if len(promised) < len(chunk):
            raise UpstreamInvalid(f"{host} sent more bytes of a blob than it promised")
        if plan.wanted is not None and position >= plan.wanted != plan.promised:
            return
    if position < (plan.wanted or 0):
        raise UpstreamUnreachable(f"the answer of {host} ended early")


def _first(chunk: bytes, position: int, stop: int | None) -> bytes:
    """What of a chunk that begins at ``position`` comes before ``stop``."""
    return (
        chunk if stop is None or position + len(chunk) <= stop else chunk[: max(stop - position, 0)]
    )


class Download:
    """A RemoteBlob. Its bytes can be read once; whoever opened the answer closes it."""

    def __init__(
        self, size: int | None, start: int, body: AsyncIterator[bytes], tally: Tally
    ) -> None:
        self._size = size
        self._start = start
        self._body = body
        self._tally = tally

    @property
    def size(self) -> int | None:
        return self._size

    @property
    def start(self) -> int:
        return self._start

    async def chunks(self) -> AsyncIterator[bytes]:
        """See the port."""
        try:
            async for chunk in self._body:
                yield chunk
        except UpstreamError:
            self._tally.errors += 1
            raise
