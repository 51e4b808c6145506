"""Statements that remove stored blobs, whoever wants them gone and for whatever reason."""

from collections.abc import Mapping, Sequence

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    bindparam,
    delete,
)
from sqlalchemy.sql.dml import ReturningDelete

from mirror.metadata.digests import forget_unused, ids_of
from mirror.metadata.parts import in_parts
from mirror.metadata.schema import blob_links, blobs
from mirror.oci.digest import Digest
from mirror.ports.metadata import BlobRecord

Removal = ReturningDelete[int, int]

_ids: BindParameter[list[int]] = bindparam("ids", expanding=True)
_DELETE_LINKS = delete(blob_links).where(blob_links.c.digest_id.in_(_ids))


def removal_if(*may_go: ColumnElement[bool]) -> Removal:
    """For rows of ``blobs`` of which this holds. Made once: making it takes a millisecond."""
    return (
        delete(blobs)
        .where(blobs.c.digest_id.in_(_ids), *may_go)
        .returning(blobs.c.digest_id, blobs.c.size)
    )


def remove_blobs(
    connection: Connection,
    wanted: Sequence[Digest],
    removal: Removal,
    parameters: Mapping[str, object],
) -> list[BlobRecord]:
    """Those that may go, with their links."""
    named = {number: digest for digest, number in ids_of(connection, wanted).items()}
    removed: list[BlobRecord] = []
    # In the order of their numbers: neighbours share pages.
    for some in in_parts(sorted(named)):
        rows = connection.execute(removal, {**parameters, "ids": some}).all()
        gone = [row[0] for row in rows]
        connection.execute(_DELETE_LINKS, {"ids": gone})
        forget_unused(connection, gone)
        removed += [BlobRecord(named[row[0]], row[1]) for row in rows]
    return removed
