"""Byte ranges of a blob: Range and Content-Range. Ranges are half open.

https://www.rfc-editor.org/rfc/rfc9110#section-14
"""

import re
from dataclasses import dataclass

_LONGEST_HEADER = 4096
_MOST_DIGITS = 18
_REQUESTED = re.compile(
    r"bytes=[ \t]*(?:([0-9]+)-([0-9]*)|-([0-9]+))[ \t]*", re.ASCII | re.IGNORECASE
)
_ANSWERED = re.compile(
    r"bytes[ \t]+([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)[ \t]*", re.ASCII | re.IGNORECASE
)
_UPLOADED = re.compile(
    r"(?:bytes[ \t]+)?([0-9]{1,18})-([0-9]{1,18})(?:/(?:[0-9]{1,18}|\*))?[ \t]*",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """``start`` is the first byte's offset, ``stop`` the offset after the last one."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """The blob has no byte of the range that was asked for: 416."""


def resolve_range(header: str | None, size: int) -> ByteRange | Unsatisfiable | None:
    """What a ``Range`` header asks of a blob of ``size`` bytes.

    None means the whole blob as 200: no header, one that is no byte range, or several ranges,
    of which a server may ignore all but must not serve only the first.
    """
    if header is None or len(header) > _LONGEST_HEADER:
        return None
    match = _REQUESTED.fullmatch(header)
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        start, stop = max(0, size - _offset(suffix)), size
    else:
        start, stop = _offset(first), min(size, _offset(last) + 1) if last else size
    return ByteRange(start, stop) if start < stop else Unsatisfiable()


def content_range(byte_range: ByteRange, size: int) -> str:
    """The ``Content-Range`` of a 206."""
    return f"bytes {byte_range.start}-{byte_range.stop - 1}/{size}"


def unsatisfied_range(size: int) -> str:
    """The ``Content-Range`` of a 416."""
    return f"bytes */{size}"


def range_header(start: int, stop: int | None = None) -> str:
    """The ``Range`` to request; to the end where ``stop`` is None."""
    return f"bytes={start}-" if stop is None else f"bytes={start}-{stop - 1}"


def parse_content_range(text: str) -> tuple[ByteRange, int | None] | None:
    """The range of a 206 and the size of the whole, None where the sender does not know it.

    None if the text names no range that can exist, ``bytes */T`` included.
    """
    match = _ANSWERED.fullmatch(text)
    if match is None:
        return None
    start, stop = int(match[1]), int(match[2]) + 1
    size = None if match[3] == "*" else int(match[3])
    if start >= stop or (size is not None and stop > size):
        return None
    return ByteRange(start, stop), size


def parse_upload_range(text: str) -> ByteRange | None:
    """The ``Content-Range`` of a chunk that is uploaded: ``0-99``, which is no HTTP, and also what
    HTTP would have, ``bytes 0-99/*``. None if the text names no range that can exist.

    https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-a-blob-in-chunks
    """
    match = _UPLOADED.fullmatch(text)
    if match is None:
        return None
    start, stop = int(match[1]), int(match[2]) + 1
    return ByteRange(start, stop) if start < stop else None


def _offset(digits: str) -> int:
    """Numbers beyond any blob are as good as the largest one, and cheaper."""
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= _MOST_DIGITS else 10**_MOST_DIGITS
