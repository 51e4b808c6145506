"""Statements about stored blobs and about the repositories that may serve them."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, case, delete, func, select

from mirror.metadata.digests import ensure_digest, forget_unused, id_of_digest
from mirror.metadata.repositories import ensure_repository, id_of
from mirror.metadata.schema import (
    BLOB,
    LONG_AGO,
    PROXIED_LINK,
    blob_links,
    blobs,
    manifest_references,
)
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
    link_blobs(connection, repository, [digest_id], stored_at)


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
    link_blobs(connection, repository, [ensure_digest(connection, digest)], LONG_AGO)


def link_blobs(
    connection: Connection, repository: Repository, ids: Sequence[int], at: datetime
) -> None:
    """Or renew the links. The age of a proxied repository's is not kept."""
    if not ids:
        return
    owner = ensure_repository(connection, repository)
    linked_at = at if repository.upstream is None else PROXIED_LINK
    statement = insert_into(connection, blob_links)
    new = statement.excluded.linked_at
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[blob_links.c.digest_id, blob_links.c.repository_id],
            set_={"linked_at": new},
            where=new > blob_links.c.linked_at,
        ),
        [
            {"digest_id": digest_id, "repository_id": owner, "linked_at": linked_at}
            for digest_id in dict.fromkeys(ids)
        ],
    )


def forget_blob(connection: Connection, digest: Digest) -> bool:
    removed = connection.scalars(
        delete(blobs).where(blobs.c.digest_id == id_of_digest(digest)).returning(blobs.c.digest_id)
    ).all()
    forget_unused(connection, removed)
    return bool(removed)
