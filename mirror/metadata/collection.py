"""Statements that find dead blobs, so many rows at a time, and remove them."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import BigInteger, Connection, bindparam, func, select

from mirror.metadata.collectable import is_dead_blob
from mirror.metadata.columns import PlainText
from mirror.metadata.last_use import SLICE
from mirror.metadata.removal import removal_if, remove_blobs
from mirror.metadata.schema import PROXIED_LINK, blob_links, blobs, digests
from mirror.oci.digest import Digest
from mirror.ports.hosting import DeadBlob
from mirror.ports.metadata import BlobRecord

BEFORE_ALL = ""
_AFTER_ALL = "~"
"""Places among the digests, whose algorithms are in lower-case letters and digits."""

_limit = bindparam("limit", type_=BigInteger)
_start = bindparam("start", type_=PlainText)
_last_of_slice = (
    select(digests.c.digest)
    .where(digests.c.digest > _start)
    .order_by(digests.c.digest)
    .offset(SLICE - 1)
    .limit(1)
)
_linked_at = (
    select(func.max(blob_links.c.linked_at))
    .where(blob_links.c.digest_id == blobs.c.digest_id)
    .scalar_subquery()
)
_list_dead = (
    select(digests.c.digest, blobs.c.size, blobs.c.last_used_at, _linked_at.label("linked_at"))
    .join(blobs, blobs.c.digest_id == digests.c.id)
    .where(
        digests.c.digest > _start,
        digests.c.digest <= bindparam("stop", type_=PlainText),
        *is_dead_blob(),
    )
    .order_by(digests.c.digest)
    .limit(_limit)
)
_COLLECT = removal_if(*is_dead_blob())


def list_dead_blobs(
    connection: Connection, unless_after: datetime, start: str, limit: int
) -> tuple[Sequence[DeadBlob], str | None]:
    """Some of those whose digests come after ``start``, and where the next ones do."""
    last: Digest | None = connection.scalar(_last_of_slice, {"start": start})
    stop = None if last is None else str(last)
    rows = connection.execute(
        _list_dead,
        {
            "start": start,
            "stop": stop or _AFTER_ALL,
            "unless_after": unless_after,
            "limit": limit,
        },
    )
    dead = [
        DeadBlob(
            BlobRecord(row.digest, row.size), max(row.last_used_at, row.linked_at or PROXIED_LINK)
        )
        for row in rows
    ]
    return dead, str(dead[-1].blob.digest) if len(dead) == limit else stop


def collect_blobs(
    connection: Connection, wanted: Sequence[Digest], unless_after: datetime
) -> Sequence[BlobRecord]:
    return remove_blobs(connection, wanted, _COLLECT, {"unless_after": unless_after})
