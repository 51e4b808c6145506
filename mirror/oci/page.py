"""Pagination of tags and of the catalog: ``n``, ``last`` and the ``Link`` to the next page.

https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-tags
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from mirror.oci.errors import PaginationNumberInvalid, quoted

_LONGEST_HEADER = 8192
_LONGEST_LAST = 256
_MOST_DIGITS = 18
_NUMBER = re.compile(r"[0-9]+")
_QUOTED = r'"((?:[^"\\]|\\.)*+)"'
_PARAMETER = re.compile(
    rf'[ \t]*+;[ \t]*+([^\s=;,"<>]*+)[ \t]*+(?:=[ \t]*+(?:{_QUOTED}|([^\s;,"]*+)))?+'
)
_TARGET = re.compile(r"[ \t,]*+<([^<>]*+)>")


@dataclass(frozen=True, slots=True)
class Page:
    """At most ``limit`` results (None: as the server likes) that sort after ``last``."""

    limit: int | None
    last: str | None


def parse_page(n: str | None, last: str | None, maximum: int) -> Page:
    """Raises ``PaginationNumberInvalid``. More than ``maximum`` is ``maximum``; 0 is legal."""
    return Page(_parse_limit(n, maximum) if n else None, _parse_last(last) if last else None)


def next_link(
    path: str, limit: int, last: str, more: Mapping[str, str | None] | None = None
) -> str:
    """The ``Link`` header of a page that ends with ``last``; ``path`` is already URL-safe.

    ``more`` are the other parameters with which the page was asked for, those that were.
    """
    query = f"n={limit}&last={quote(last, safe='')}"
    for name, value in (more or {}).items():
        if value is not None:
            query += f"&{name}={quote(value, safe='')}"
    return f'<{path}?{query}>; rel="next"'


def parse_next_link(header: str) -> str | None:
    """The target of the link whose relation is ``next``, as it was sent; None if there is none.

    https://www.rfc-editor.org/rfc/rfc8288#section-3
    """
    if len(header) > _LONGEST_HEADER:
        return None
    position = 0
    while target := _TARGET.match(header, position):
        relations, position = _parse_relations(header, target.end())
        if "next" in relations:
            return target[1]
    return None


def _parse_relations(header: str, position: int) -> tuple[list[str], int]:
    """Only the first ``rel`` of a link counts."""
    relations: list[str] | None = None
    while parameter := _PARAMETER.match(header, position):
        position = parameter.end()
        if relations is None and parameter[1].lower() == "rel":
            relations = (parameter[2] or parameter[3] or "").lower().split()
    return relations or [], position


def _parse_limit(text: str, maximum: int) -> int:
    if _NUMBER.fullmatch(text) is None:
        raise PaginationNumberInvalid(f"n={quoted(text)} is not a number, use 0 to {maximum}")
    significant = text.lstrip("0")
    return min(int(significant or "0"), maximum) if len(significant) <= _MOST_DIGITS else maximum


def _parse_last(text: str) -> str | None:
    """Cut where no name can be any more: the order of all names relative to it stays the same.

    PostgreSQL takes no NUL in a text.
    """
    return text.partition("\0")[0][:_LONGEST_LAST] or None
