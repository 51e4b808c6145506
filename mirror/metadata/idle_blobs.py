"""Statements that list the blobs nobody needs."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter

from sqlalchemy import BigInteger, Connection, Row, bindparam, select, type_coerce

from mirror.metadata.columns import PlainText, parse_stored
from mirror.metadata.evictable import is_evictable_blob
from mirror.metadata.last_use import BEFORE_ALL, LastUseOrder, Place, slice_between
from mirror.metadata.schema import blob_links, blobs, digests, repositories
from mirror.ports.metadata import BlobRecord, Cursor, IdleBlob

_order = LastUseOrder(blobs.c.last_used_at, blobs.c.digest_id)
_page = (
    select(blobs.c.last_used_at, blobs.c.digest_id, blobs.c.size)
    .where(*_order.within_slice, *is_evictable_blob())
    .order_by(*_order.keys)
    .limit(bindparam("limit", type_=BigInteger))
    .subquery()
)
_LIST = (
    select(
        _page.c.digest_id,
        type_coerce(digests.c.digest, PlainText),
        _page.c.size,
        _page.c.last_used_at,
        repositories.c.upstream,
    )
    .join(digests, digests.c.id == _page.c.digest_id)
    .outerjoin(blob_links, blob_links.c.digest_id == _page.c.digest_id)
    .outerjoin(repositories, repositories.c.id == blob_links.c.repository_id)
    .order_by(_page.c.last_used_at, _page.c.digest_id)
)


def list_idle_blobs(
    connection: Connection, after: Cursor | None, limit: int
) -> tuple[Sequence[IdleBlob], Cursor | None]:
    start = Place(after.last_used_at, int(after.key)) if after else Place(BEFORE_ALL, 0)
    end = _order.end_of_slice(connection, start)
    rows = connection.execute(_LIST, {**slice_between(start, end), "limit": limit}).all()
    idle = [_idle_blob(list(same)) for _, same in groupby(rows, key=itemgetter(0))]
    if len(idle) == limit:
        end = Place(idle[-1].last_used_at, rows[-1].digest_id)
    return idle, end.cursor if end else None


def _idle_blob(rows: Sequence[Row[int, str, int, datetime, str]]) -> IdleBlob:
    """From one row for every link, or one without an upstream where there is none."""
    _, digest, size, last_used_at, _ = rows[0]
    upstreams = frozenset([row[4] for row in rows])
    return IdleBlob(BlobRecord(parse_stored(digest), size), last_used_at, upstreams - _NO_LINK)


_NO_LINK: frozenset[str | None] = frozenset([None])
