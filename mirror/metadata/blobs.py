"""Statements about stored blobs and about the repositories that may serve them."""

from datetime import datetime

from sqlalchemy import Connection, case, delete, func, select

from mirror.metadata.digests import ensure_digest, forget_unused, id_of_digest
from mirror.metadata.repositories import ensure_repository, id_of
from mirror.metadata.schema import BLOB, blob_links, blobs, manifest_references
from mirror.metadata.upsert import insert_into
from mirror.oci.digest import Digest
from mirror.ports.metadata import BlobRecord
from mirror.ports.repository import Repository


def get_blob(connection: Connection, repository: Repository, digest: Digest) -> BlobRecord | None:
    size = connection.scalar(
        select(blobs.c.size)
        .join(blob_links, blob_links.c.digest_id == blobs.c.digest_id)
        .where(
            blobs.c.digest_id == id_of_digest(digest),
            blob_links.c.repository_id == id_of(repository),
        )
    )
    return None if size is None else BlobRecord(digest, size)


def get_stored(connection: Connection, digest: Digest) -> BlobRecord | None:
    size = connection.scalar(select(blobs.c.size).where(blobs.c.digest_id == id_of_digest(digest)))
    return None if size is None else BlobRecord(digest, size)


def linked_size(connection: Connection, repository: Repository, digest: Digest) -> int | None:
    reference = manifest_references.c
    size: int | None = connection.scalar(
        select(func.max(reference.size))
        .join(
            blob_links,
            (blob_links.c.digest_id == reference.child_id)
            & (blob_links.c.repository_id == reference.repository_id),
        )
        .where(
            reference.child_id == id_of_digest(digest),
            reference.repository_id == id_of(repository),
            reference.kind == BLOB,
        )
    )
    return size


def put_blob(
    connection: Connection, repository: Repository, blob: BlobRecord, stored_at: datetime
) -> None:
    digest_id = ensure_digest(connection, blob.digest)
    store_blob(connection, digest_id, blob.size, stored_at)
    _link(connection, repository, digest_id)


def store_blob(connection: Connection, digest_id: int, size: int, stored_at: datetime) -> None:
    """The bytes alone, linked to nothing."""
    statement = insert_into(connection, blobs).values(
        digest_id=digest_id, size=size, stored_at=stored_at, last_used_at=stored_at
    )
    new = statement.excluded.last_used_at
    later = case((new > blobs.c.last_used_at, new), else_=blobs.c.last_used_at)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[blobs.c.digest_id],
            set_={"size": statement.excluded.size, "last_used_at": later},
        )
    )


def link_blob(connection: Connection, repository: Repository, digest: Digest) -> None:
    _link(connection, repository, ensure_digest(connection, digest))


def forget_blob(connection: Connection, digest: Digest) -> bool:
    removed = connection.scalars(
        delete(blobs).where(blobs.c.digest_id == id_of_digest(digest)).returning(blobs.c.digest_id)
    ).all()
    forget_unused(connection, removed)
    return bool(removed)


def _link(connection: Connection, repository: Repository, digest_id: int) -> None:
    row = {"digest_id": digest_id, "repository_id": ensure_repository(connection, repository)}
    connection.execute(insert_into(connection, blob_links).on_conflict_do_nothing(), row)
