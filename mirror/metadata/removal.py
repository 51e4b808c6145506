"""Statements that remove stored blobs, whoever wants them gone and for whatever reason."""

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, delete

from mirror.metadata.digests import forget_unused, ids_of
from mirror.metadata.parts import in_parts
from mirror.metadata.schema import blob_links, blobs
from mirror.oci.digest import Digest
from mirror.ports.metadata import BlobRecord


def remove_blobs(
    connection: Connection,
    wanted: Sequence[Digest],
    may_go: Sequence[ColumnElement[bool]],
    parameters: Mapping[str, object] | None = None,
) -> list[BlobRecord]:
    """Those of a row of ``blobs`` each that ``may_go``, with their links."""
    named = {number: digest for digest, number in ids_of(connection, wanted).items()}
    removed: list[BlobRecord] = []
    # In the order of their numbers: neighbours share pages.
    for some in in_parts(sorted(named)):
        rows = connection.execute(
            delete(blobs)
            .where(blobs.c.digest_id.in_(some), *may_go)
            .returning(blobs.c.digest_id, blobs.c.size),
            parameters,
        ).all()
        gone = [row[0] for row in rows]
        connection.execute(delete(blob_links).where(blob_links.c.digest_id.in_(gone)))
        forget_unused(connection, gone)
        removed += [BlobRecord(named[row[0]], row[1]) for row in rows]
    return removed
