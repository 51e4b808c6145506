"""Statements about stored blobs and about the repositories that may serve them."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, case, delete, func, select

from mirror.metadata.digests import ASKED_ID, ensure_digest, forget_unused
from mirror.metadata.repositories import OWNER_ID, ensure_repository, owner
from mirror.metadata.schema import (
    BLOB,
    LONG_AGO,
    PROXIED_LINK,
    blob_links,
    blobs,
    manifest_references,
)
from mirror.metadata.upsert import Insert, Upsert
from mirror.oci.digest import Digest
from mirror.ports.metadata import BlobRecord
from mirror.ports.repository import Repository

_GET_STORED = select(blobs.c.size).where(blobs.c.digest_id == ASKED_ID)
_GET = _GET_STORED.join(blob_links, blob_links.c.digest_id == blobs.c.digest_id).where(
    blob_links.c.repository_id == OWNER_ID
)
_LINKED_SIZE = (
    select(func.max(manifest_references.c.size))
    .join(
        blob_links,
        (blob_links.c.digest_id == manifest_references.c.child_id)
        & (blob_links.c.repository_id == manifest_references.c.repository_id),
    )
    .where(
        manifest_references.c.child_id == ASKED_ID,
        manifest_references.c.repository_id == OWNER_ID,
        manifest_references.c.kind == BLOB,
    )
)
_FORGET = delete(blobs).where(blobs.c.digest_id == ASKED_ID).returning(blobs.c.digest_id)


def get_blob(connection: Connection, repository: Repository, digest: Digest) -> BlobRecord | None:
    size = connection.scalar(_GET, {**owner(repository), "asked": digest})
    return None if size is None else BlobRecord(digest, size)


def get_stored(connection: Connection, digest: Digest) -> BlobRecord | None:
    size = connection.scalar(_GET_STORED, {"asked": digest})
    return None if size is None else BlobRecord(digest, size)


def linked_size(connection: Connection, repository: Repository, digest: Digest) -> int | None:
    asked = {**owner(repository), "asked": digest}
    size: int | None = connection.scalar(_LINKED_SIZE, asked)
    return size


def put_blob(
    connection: Connection, repository: Repository, blob: BlobRecord, stored_at: datetime
) -> None:
    digest_id = ensure_digest(connection, blob.digest)
    store_blob(connection, digest_id, blob.size, stored_at)
    link_blobs(connection, repository, [digest_id], stored_at)


def store_blob(connection: Connection, digest_id: int, size: int, stored_at: datetime) -> None:
    """The bytes alone, linked to nothing."""
    row = {
        "digest_id": digest_id,
        "size": size,
        "stored_at": stored_at,
        "last_used_at": stored_at,
    }
    connection.execute(_STORE.on(connection), row)


def _or_store_again(insert: Insert) -> Insert:
    new = insert.excluded.last_used_at
    later = case((new > blobs.c.last_used_at, new), else_=blobs.c.last_used_at)
    return insert.on_conflict_do_update(
        index_elements=[blobs.c.digest_id],
        set_={"size": insert.excluded.size, "last_used_at": later},
    )


_STORE = Upsert(blobs, _or_store_again)


def link_blob(connection: Connection, repository: Repository, digest: Digest) -> None:
    link_blobs(connection, repository, [ensure_digest(connection, digest)], LONG_AGO)


def link_blobs(
    connection: Connection, repository: Repository, ids: Sequence[int], at: datetime
) -> None:
    """Or renew the links. The age of a proxied repository's is not kept."""
    if not ids:
        return
    repository_id = ensure_repository(connection, repository)
    linked_at = at if repository.upstream is None else PROXIED_LINK
    connection.execute(
        _LINK.on(connection),
        [
            {"digest_id": digest_id, "repository_id": repository_id, "linked_at": linked_at}
            for digest_id in dict.fromkeys(ids)
        ],
    )


def _or_renew(insert: Insert) -> Insert:
    """A link gets no older."""
    new = insert.excluded.linked_at
    return insert.on_conflict_do_update(
        index_elements=[blob_links.c.digest_id, blob_links.c.repository_id],
        set_={"linked_at": new},
        where=new > blob_links.c.linked_at,
    )


_LINK = Upsert(blob_links, _or_renew)


def forget_blob(connection: Connection, digest: Digest) -> bool:
    removed = connection.scalars(_FORGET, {"asked": digest}).all()
    forget_unused(connection, removed)
    return bool(removed)
