"""Statements about what may go, and its removal.

Scans go along an index in order of last use and look at a bounded number of rows, so that each is
over in milliseconds; the cursor tells how far it came.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, delete, exists, func, select, tuple_

from mirror.metadata.manifests import remove_manifests
from mirror.metadata.repositories import repository_from
from mirror.metadata.schema import (
    HOSTED,
    NEEDS,
    blob_links,
    blobs,
    manifest_references,
    manifests,
    repositories,
    tags,
)
from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor
from mirror.ports.metadata import MOST_NEEDS, BlobRecord, Cursor, IdleBlob, IdleManifest

T = TypeVar("T")

Key = tuple[datetime, int | str]
"""Where a row is in order of last use."""

SLICE = 2000
"""Rows that one call looks at."""

# What may go, said once for listing and for removal.
_EVICTABLE_MANIFEST = (repositories.c.upstream != HOSTED,)
_EVICTABLE_BLOB = (
    ~exists().where(
        manifest_references.c.child_digest == blobs.c.digest, manifest_references.c.kind.in_(NEEDS)
    ),
    ~exists().where(
        blob_links.c.digest == blobs.c.digest,
        repositories.c.id == blob_links.c.repository_id,
        repositories.c.upstream == HOSTED,
    ),
)

_PARAMETERS = 500


def list_idle_manifests(
    connection: Connection, after: Cursor | None, limit: int
) -> tuple[Sequence[IdleManifest], Cursor | None]:
    start = (after.last_used_at, int(after.key)) if after else None
    keys = (manifests.c.last_used_at, manifests.c.id)
    stop = _end_of_slice(connection, keys, start)
    rows = connection.execute(
        select(manifests, repositories.c.upstream, repositories.c.name)
        .join(repositories, repositories.c.id == manifests.c.repository_id)
        .where(*_between(keys, start, stop), *_EVICTABLE_MANIFEST)
        .order_by(*keys)
        .limit(limit)
    ).all()
    if len(rows) == limit:
        stop = (rows[-1].last_used_at, rows[-1].id)
    return _idle_manifests(connection, rows), _cursor(stop)


def list_idle_blobs(
    connection: Connection, after: Cursor | None, limit: int
) -> tuple[Sequence[IdleBlob], Cursor | None]:
    start = (after.last_used_at, after.key) if after else None
    keys = (blobs.c.last_used_at, blobs.c.digest)
    stop = _end_of_slice(connection, keys, start)
    page = (
        select(blobs.c.last_used_at, blobs.c.digest, blobs.c.size)
        .where(*_between(keys, start, stop), *_EVICTABLE_BLOB)
        .order_by(*keys)
        .limit(limit)
        .subquery()
    )
    rows = connection.execute(
        select(page, repositories.c.upstream)
        .outerjoin(blob_links, blob_links.c.digest == page.c.digest)
        .outerjoin(repositories, repositories.c.id == blob_links.c.repository_id)
        .order_by(page.c.last_used_at, page.c.digest)
    ).all()
    idle = [_idle_blob(list(same)) for _, same in groupby(rows, key=lambda row: row.digest)]
    if len(idle) == limit:
        stop = (idle[-1].last_used_at, str(idle[-1].blob.digest))
    return idle, _cursor(stop)


def evict(
    connection: Connection,
    idle: Sequence[IdleManifest],
    digests: Sequence[Digest],
    unless_used_after: datetime,
) -> Sequence[BlobRecord]:
    wanted = {(entry.repository, entry.descriptor.digest) for entry in idle}
    for some in _in_parts(sorted({digest for _, digest in wanted}, key=str)):
        found = connection.execute(
            select(manifests.c.id, manifests.c.digest, repositories.c.upstream, repositories.c.name)
            .join(repositories, repositories.c.id == manifests.c.repository_id)
            .where(
                manifests.c.digest.in_(some),
                manifests.c.last_used_at <= unless_used_after,
                *_EVICTABLE_MANIFEST,
            )
        )
        ids = [
            row.id
            for row in found
            if (repository_from(row.upstream, row.name), row.digest) in wanted
        ]
        if ids:
            remove_manifests(connection, ids)
    return [
        blob
        for some in _in_parts(sorted(set(digests), key=str))
        for blob in _remove_blobs(connection, some, unless_used_after)
    ]


def _remove_blobs(
    connection: Connection, digests: Sequence[Digest], unless_used_after: datetime
) -> list[BlobRecord]:
    rows = connection.execute(
        delete(blobs)
        .where(
            blobs.c.digest.in_(digests),
            blobs.c.last_used_at <= unless_used_after,
            *_EVICTABLE_BLOB,
        )
        .returning(blobs.c.digest, blobs.c.size)
    )
    removed = [BlobRecord(row.digest, row.size) for row in rows]
    if removed:
        gone = [blob.digest for blob in removed]
        connection.execute(delete(blob_links).where(blob_links.c.digest.in_(gone)))
    return removed


def _end_of_slice(
    connection: Connection, keys: Sequence[ColumnElement[Any]], start: Key | None
) -> Key | None:
    """The last row of those to look at; None if all the rest are."""
    row = connection.execute(
        select(*keys).where(*_between(keys, start, None)).order_by(*keys).offset(SLICE - 1).limit(1)
    ).one_or_none()
    return None if row is None else (row[0], row[1])


def _between(
    keys: Sequence[ColumnElement[Any]], start: Key | None, stop: Key | None
) -> Iterator[ColumnElement[bool]]:
    if start is not None:
        yield tuple_(*keys) > start
    if stop is not None:
        yield tuple_(*keys) <= stop


def _cursor(stop: Key | None) -> Cursor | None:
    return None if stop is None else Cursor(stop[0], str(stop[1]))


def _idle_blob(rows: Sequence[Row[Any]]) -> IdleBlob:
    """From one row for every link, or one without an upstream where there is none."""
    first = rows[0]
    upstreams = frozenset(row.upstream for row in rows if row.upstream is not None)
    return IdleBlob(BlobRecord(first.digest, first.size), first.last_used_at, upstreams)


def _idle_manifests(connection: Connection, rows: Sequence[Row[Any]]) -> list[IdleManifest]:
    if not rows:
        return []
    ids = [row.id for row in rows]
    names = _tags_on(connection, ids)
    stored = _stored_needs(connection, ids)
    counts = _count_needs(connection, ids)
    return [
        IdleManifest(
            repository=repository_from(row.upstream, row.name),
            descriptor=Descriptor(row.media_type, row.digest, row.size),
            last_used_at=row.last_used_at,
            tags=tuple(names.get(row.id, ())),
            blobs=tuple((blob, counts[blob.digest]) for blob in stored.get(row.id, ())),
        )
        for row in rows
    ]


def _tags_on(connection: Connection, ids: Sequence[int]) -> dict[int, list[str]]:
    rows = connection.execute(
        select(manifests.c.id, tags.c.tag)
        .join(
            tags,
            (tags.c.repository_id == manifests.c.repository_id)
            & (tags.c.digest == manifests.c.digest),
        )
        .where(manifests.c.id.in_(ids))
        .order_by(manifests.c.id, tags.c.tag)
    )
    return _grouped((row.id, row.tag) for row in rows)


def _stored_needs(connection: Connection, ids: Sequence[int]) -> dict[int, list[BlobRecord]]:
    rows = connection.execute(
        select(manifest_references.c.manifest_id, blobs.c.digest, blobs.c.size)
        .join(blobs, blobs.c.digest == manifest_references.c.child_digest)
        .where(manifest_references.c.manifest_id.in_(ids), manifest_references.c.kind.in_(NEEDS))
        .distinct()
        .order_by(manifest_references.c.manifest_id, blobs.c.digest)
    )
    return _grouped((row.manifest_id, BlobRecord(row.digest, row.size)) for row in rows)


def _count_needs(connection: Connection, ids: Sequence[int]) -> dict[Digest, int]:
    """How many manifests need each blob that one of these needs; no more than MOST_NEEDS."""
    needed = (
        select(manifest_references.c.child_digest)
        .where(manifest_references.c.manifest_id.in_(ids), manifest_references.c.kind.in_(NEEDS))
        .distinct()
        .subquery()
    )
    need = manifest_references.alias("need")
    some = (
        select(need.c.manifest_id)
        .distinct()
        .where(need.c.child_digest == needed.c.child_digest, need.c.kind.in_(NEEDS))
        .limit(MOST_NEEDS)
        .correlate(needed)
        .subquery()
    )
    count = select(func.count()).select_from(some).scalar_subquery()
    rows = connection.execute(select(needed.c.child_digest, count.label("needs")))
    return {row.child_digest: row.needs for row in rows}


def _grouped(pairs: Iterator[tuple[int, T]]) -> dict[int, list[T]]:
    groups: dict[int, list[T]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def _in_parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """As many as one statement takes."""
    for start in range(0, len(items), _PARAMETERS):
        yield items[start : start + _PARAMETERS]
