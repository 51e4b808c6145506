"""What an error answer says: status headers and the error document. Pure.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

_SHORTEST_WAIT = 1.0
_LONGEST_WAIT = 24 * 3600.0
_MOST_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Problem:
    """Both are the upstream's text, ``code`` in upper case."""

    code: str
    message: str


class _Entry(msgspec.Struct, frozen=True):
    code: str = ""
    message: str = ""


class _Document(msgspec.Struct, frozen=True):
    errors: list[_Entry]


def parse_problem(content: bytes) -> Problem | None:
    """The first error of an error document; None for anything else, such as HTML."""
    try:
        document = msgspec.json.decode(content, type=_Document)
    except (ValueError, RecursionError):
        return None
    if not document.errors:
        return None
    return Problem(document.errors[0].code.upper(), document.errors[0].message)


def parse_retry_after(text: str | None, now: datetime) -> float | None:
    """Seconds from ``now``, between one and a day; None where nothing sensible was said."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return _bounded(float(text[:_MOST_DIGITS]))
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return _bounded((moment - now).total_seconds())


def _bounded(seconds: float) -> float:
    return min(max(seconds, _SHORTEST_WAIT), _LONGEST_WAIT)
