"""Statements that list the manifests of proxied repositories, and what they keep alive."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Connection,
    Row,
    bindparam,
    case,
    func,
    select,
    type_coerce,
)

from mirror.metadata.columns import PlainText, parse_stored
from mirror.metadata.evictable import is_evictable_manifest, is_linked_by_hosted
from mirror.metadata.last_use import BEFORE_ALL, LastUseOrder, Place, slice_between
from mirror.metadata.repositories import repository_from
from mirror.metadata.schema import (
    NEEDS,
    blobs,
    digests,
    manifest_references,
    manifests,
    repositories,
    tags,
)
from mirror.oci.manifest import Descriptor
from mirror.ports.metadata import MOST_NEEDS, BlobRecord, Cursor, IdleManifest

T = TypeVar("T")

_order = LastUseOrder(manifests.c.last_used_at, manifests.c.id)
_LIST = (
    select(manifests, repositories.c.upstream, repositories.c.name)
    .join(repositories, repositories.c.id == manifests.c.repository_id)
    .where(*_order.within_slice, *is_evictable_manifest())
    .order_by(*_order.keys)
    .limit(bindparam("limit", type_=BigInteger))
)


def list_idle_manifests(
    connection: Connection, after: Cursor | None, limit: int
) -> tuple[Sequence[IdleManifest], Cursor | None]:
    start = Place(after.last_used_at, int(after.key)) if after else Place(BEFORE_ALL, 0)
    end = _order.end_of_slice(connection, start)
    rows = connection.execute(_LIST, {**slice_between(start, end), "limit": limit}).all()
    if len(rows) == limit:
        end = Place(rows[-1].last_used_at, rows[-1].id)
    return _idle_manifests(connection, rows), end.cursor if end else None


def _idle_manifests(connection: Connection, rows: Sequence[Row[Any]]) -> list[IdleManifest]:
    if not rows:
        return []
    ids = {"ids": [row.id for row in rows]}
    names = _grouped(connection.execute(_TAGS, ids))
    stored = {
        number: (BlobRecord(parse_stored(text), size), count)
        for number, text, size, count in connection.execute(_COUNTS, ids)
    }
    places = {number: place for place, number in enumerate(stored)}
    needs = _grouped(row for row in connection.execute(_NEEDS, ids) if row[1] in places)
    return [
        IdleManifest(
            repository=repository_from(row.upstream, row.name),
            descriptor=Descriptor(row.media_type, row.digest, row.size),
            last_used_at=row.last_used_at,
            tags=tuple(names.get(row.id, ())),
            blobs=tuple(
                [stored[blob] for blob in sorted(needs.get(row.id, ()), key=places.__getitem__)]
            ),
        )
        for row in rows
    ]


_ids: BindParameter[list[int]] = bindparam("ids", expanding=True)
_TAGS = (
    select(manifests.c.id, tags.c.tag)
    .join(
        tags,
        (tags.c.repository_id == manifests.c.repository_id) & (tags.c.digest == manifests.c.digest),
    )
    .where(manifests.c.id.in_(_ids))
    .order_by(tags.c.tag)
)

_need = manifest_references.alias("need")
_is_need = (_need.c.manifest_id.in_(_ids), _need.c.kind.in_(NEEDS))
_NEEDS = select(_need.c.manifest_id, _need.c.child_id).where(*_is_need)

# How many manifests of all need each stored blob that one of these needs. A manifest that needed
# a blob in two ways would count twice; no digest allows it. Hosted links count as one more.
_needed = select(_need.c.child_id).where(*_is_need).distinct().subquery()
_needing = (
    select(manifest_references.c.manifest_id)
    .where(
        manifest_references.c.child_id == blobs.c.digest_id,
        manifest_references.c.kind.in_(NEEDS),
    )
    .limit(MOST_NEEDS)
    .correlate(blobs)
    .subquery()
)
_COUNTS = (
    select(
        blobs.c.digest_id,
        type_coerce(digests.c.digest, PlainText),
        blobs.c.size,
        select(func.count()).select_from(_needing).scalar_subquery()
        + case((is_linked_by_hosted(), 1), else_=0),
    )
    .join(_needed, _needed.c.child_id == blobs.c.digest_id)
    .join(digests, digests.c.id == blobs.c.digest_id)
    .order_by(digests.c.digest)
)


def _grouped(rows: Iterable[Row[int, T]]) -> dict[int, list[T]]:
    groups: dict[int, list[T]] = {}
    for row in rows:
        groups.setdefault(row[0], []).append(row[1])
    return groups
