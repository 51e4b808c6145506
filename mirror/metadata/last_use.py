"""Scans in order of last use, along an index, so many rows at a time.

What the rows are, and which of them are wanted, is told by the modules that list them.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, select, tuple_

from mirror.metadata.columns import Time
from mirror.ports.metadata import Cursor

SLICE = 2000
"""Rows that one call looks at."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row is. ``key`` decides between rows used at the same moment."""

    last_used_at: datetime
    key: int | str

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.last_used_at, str(self.key))


BEFORE_ALL = datetime.min.replace(tzinfo=UTC)
_AFTER_ALL = Place(datetime.max.replace(tzinfo=UTC), sys.maxsize)


class LastUseOrder:
    """The order of one table. Its statements are made once: making them takes a millisecond."""

    def __init__(self, last_used_at: ColumnElement[datetime], key: ColumnElement[Any]) -> None:
        self.keys = (last_used_at, key)
        row = tuple_(*self.keys)
        self._after_start = row > _parameters("start", key)
        self._until_stop = row <= _parameters("stop", key)
        self._find_end: Select[Any] = (
            select(*self.keys)
            .where(self._after_start)
            .order_by(*self.keys)
            .offset(SLICE - 1)
            .limit(1)
        )

    @property
    def within_slice(self) -> tuple[ColumnElement[bool], ...]:
        """Conditions whose parameters ``slice_after`` gives."""
        return (self._after_start, self._until_stop)

    def end_of_slice(self, connection: Connection, start: Place) -> Place | None:
        """The last row to look at; None if all the rest are."""
        row = connection.execute(self._find_end, _values("start", start)).one_or_none()
        return None if row is None else Place(row[0], row[1])


def slice_between(start: Place, end: Place | None) -> Mapping[str, object]:
    return _values("start", start) | _values("stop", end or _AFTER_ALL)


def _parameters(name: str, key: ColumnElement[Any]) -> ColumnElement[Any]:
    return tuple_(bindparam(f"{name}_at", type_=Time), bindparam(f"{name}_key", type_=key.type))


def _values(name: str, place: Place) -> dict[str, object]:
    return {f"{name}_at": place.last_used_at, f"{name}_key": place.key}
