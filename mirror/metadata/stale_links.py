"""Statements that find links which nothing explains, so many rows at a time, and remove them.

They are looked for by their age, in an index that holds those of hosted repositories alone.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    bindparam,
    delete,
    select,
    tuple_,
)

from mirror.metadata.collectable import is_aged_link, is_unexplained_link
from mirror.metadata.columns import RowId, Time
from mirror.metadata.digests import forget_unused
from mirror.metadata.last_use import SLICE
from mirror.metadata.schema import PROXIED_LINK, blob_links
from mirror.ports.hosting import LinkCursor


@dataclass(frozen=True, slots=True)
class Link:
    """Which it is, and its place in the order of age."""

    linked_at: datetime
    digest_id: int
    repository_id: int

    @property
    def cursor(self) -> LinkCursor:
        return LinkCursor(self.linked_at, f"{self.digest_id} {self.repository_id}")


BEFORE_ALL = Link(PROXIED_LINK, 0, 0)

_order = (blob_links.c.linked_at, blob_links.c.digest_id, blob_links.c.repository_id)


def _place(name: str) -> ColumnElement[Any]:
    return tuple_(
        bindparam(f"{name}_at", type_=Time),
        bindparam(f"{name}_digest_id", type_=RowId),
        bindparam(f"{name}_repository", type_=RowId),
    )


_link = select(*_order).order_by(*_order)
_LAST_OF_SLICE = (
    _link.where(tuple_(*_order) > _place("start"), *is_aged_link()).offset(SLICE - 1).limit(1)
)
_LIST = _link.where(
    tuple_(*_order) > _place("start"),
    tuple_(*_order) <= _place("stop"),
    *is_aged_link(),
    is_unexplained_link(),
).limit(bindparam("limit", type_=BigInteger))
_REMOVE = delete(blob_links).where(
    blob_links.c.digest_id == bindparam("gone", type_=RowId),
    blob_links.c.repository_id == bindparam("owner", type_=RowId),
    *is_aged_link(),
    is_unexplained_link(),
)


def place_of(cursor: LinkCursor | None) -> Link:
    """The last link that was looked at; without a cursor one before them all."""
    if cursor is None:
        return BEFORE_ALL
    digest_id, repository_id = cursor.key.split()
    return Link(cursor.linked_at, int(digest_id), int(repository_id))


def list_stale_links(
    connection: Connection, unless_after: datetime, start: Link, limit: int
) -> tuple[Sequence[Link], Link | None]:
    """Some of those after ``start``, and where the next ones come."""
    aged = {"unless_after": unless_after, **_values("start", start)}
    last = connection.execute(_LAST_OF_SLICE, aged).one_or_none()
    stop = None if last is None else Link(*last)
    end = stop or Link(unless_after, sys.maxsize, sys.maxsize)
    rows = connection.execute(_LIST, {**aged, **_values("stop", end), "limit": limit})
    stale = [Link(*row) for row in rows]
    return stale, stale[-1] if len(stale) == limit else stop


def remove_links(connection: Connection, links: Sequence[Link], unless_after: datetime) -> int:
    """Those of them that are still stale, and how many."""
    removed = sum(
        connection.execute(
            _REMOVE,
            {"gone": link.digest_id, "owner": link.repository_id, "unless_after": unless_after},
        ).rowcount
        for link in links
    )
    forget_unused(connection, [link.digest_id for link in links])
    return removed


def _values(name: str, place: Link) -> Mapping[str, object]:
    return {
        f"{name}_at": place.linked_at,
        f"{name}_digest_id": place.digest_id,
        f"{name}_repository": place.repository_id,
    }
