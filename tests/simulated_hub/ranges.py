"""Serving bytes whole or in part, as RFC 9110 section 14 has it; one range at most."""

import re
from dataclasses import dataclass

from tests.simulated_hub.log import Request
from tests.simulated_hub.reply import Headers, Reply, content

ONE_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True)
class Span:
    first: int
    last: int


def serve_bytes(request: Request, data: bytes, headers: Headers, *, ranges: bool) -> Reply:
    """200, 206 or 416. Several ranges and other units are answered whole."""
    whole = content(200, data, "application/octet-stream", *headers)
    if not ranges:
        return whole
    whole = whole.having(("Accept-Ranges", "bytes"))
    found = ONE_RANGE.fullmatch(request.headers.get("Range", ""))
    if request.method != "GET" or not found or found.group() == "bytes=-":
        return whole
    if request.headers.get("If-Range") not in (None, whole.header("ETag")):
        return whole
    span = span_of(found[1], found[2], len(data))
    if span is None:
        refused = content(416, b"", "application/octet-stream")
        return refused.having(("Content-Range", f"bytes */{len(data)}"))
    return partial(whole, data, span)


def partial(whole: Reply, data: bytes, span: Span) -> Reply:
    part = memoryview(data)[span.first : span.last + 1]
    answer = Reply(206, whole.headers).carrying(part)
    return answer.having(("Content-Range", f"bytes {span.first}-{span.last}/{len(data)}"))


def span_of(first: str, last: str, size: int) -> Span | None:
    """None when nothing of the content is in the range."""
    if not first:
        start, end = max(0, size - int(last)), size - 1
    else:
        start, end = int(first), min(int(last or size), size - 1)
    return Span(start, end) if start <= end else None
