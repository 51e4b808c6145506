"""Statements about manifests, and about what goes with them."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, case, delete, exists, select

from mirror.metadata.blobs import link_blobs, store_blob
from mirror.metadata.repositories import ensure_repository, id_of
from mirror.metadata.schema import (
    BLOB,
    CHILD,
    SELF,
    SUBJECT,
    blob_links,
    manifest_references,
    manifests,
    tags,
)
from mirror.metadata.upsert import insert_into
from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor, References
from mirror.ports.metadata import BlobRecord
from mirror.ports.repository import Repository


def get_manifest(
    connection: Connection, repository: Repository, digest: Digest
) -> Descriptor | None:
    row = connection.execute(
        select(manifests.c.media_type, manifests.c.size).where(
            manifests.c.repository_id == id_of(repository), manifests.c.digest == digest
        )
    ).one_or_none()
    return None if row is None else Descriptor(row.media_type, digest, row.size)


def put_manifest(
    connection: Connection,
    repository: Repository,
    descriptor: Descriptor,
    references: References | None,
    stored_at: datetime,
) -> None:
    repository_id = ensure_repository(connection, repository)
    manifest_id = _ensure_manifest(connection, repository_id, descriptor, stored_at)
    store_blob(connection, BlobRecord(descriptor.digest, descriptor.size), stored_at)
    parts = [(SELF, descriptor), *_parts(references)]
    connection.execute(
        insert_into(connection, manifest_references).on_conflict_do_nothing(),
        [
            {
                "manifest_id": manifest_id,
                "kind": kind,
                "child_digest": part.digest,
                "repository_id": repository_id,
                "size": part.size,
                "media_type": part.media_type,
                "platform": str(part.platform) if part.platform and kind == CHILD else None,
            }
            for kind, part in parts
        ],
    )
    linked = [part.digest for kind, part in parts if kind == BLOB]
    link_blobs(connection, repository, linked, stored_at)


def delete_manifest(connection: Connection, repository: Repository, digest: Digest) -> bool:
    owner = id_of(repository)
    connection.execute(delete(tags).where(tags.c.repository_id == owner, tags.c.digest == digest))
    manifest_id = connection.scalar(
        select(manifests.c.id).where(
            manifests.c.repository_id == owner, manifests.c.digest == digest
        )
    )
    if manifest_id is None:
        return False
    remove_manifests(connection, [manifest_id])
    return True


def remove_manifests(connection: Connection, ids: Sequence[int]) -> None:
    """Also their tags, and the links of blobs that nothing else in the repository refers to."""
    removed = connection.execute(
        select(manifests.c.repository_id, manifests.c.digest).where(manifests.c.id.in_(ids))
    ).all()
    linked = connection.execute(
        select(manifest_references.c.repository_id, manifest_references.c.child_digest)
        .where(manifest_references.c.manifest_id.in_(ids), manifest_references.c.kind == BLOB)
        .distinct()
    ).all()
    connection.execute(delete(manifests).where(manifests.c.id.in_(ids)))
    connection.execute(_DELETE_TAGS, [{"owner": row[0], "gone": row[1]} for row in removed])
    if linked:
        connection.execute(_DELETE_LINK, [{"owner": row[0], "gone": row[1]} for row in linked])


_DELETE_TAGS = delete(tags).where(
    tags.c.repository_id == bindparam("owner"), tags.c.digest == bindparam("gone")
)
_DELETE_LINK = delete(blob_links).where(
    blob_links.c.repository_id == bindparam("owner"),
    blob_links.c.digest == bindparam("gone"),
    ~exists(manifest_references.c.kind).where(
        manifest_references.c.child_digest == bindparam("gone"),
        manifest_references.c.repository_id == bindparam("owner"),
        manifest_references.c.kind == BLOB,
    ),
)


def _ensure_manifest(
    connection: Connection, repository_id: int, descriptor: Descriptor, stored_at: datetime
) -> int:
    statement = insert_into(connection, manifests).values(
        repository_id=repository_id,
        digest=descriptor.digest,
        media_type=descriptor.media_type,
        size=descriptor.size,
        stored_at=stored_at,
        last_used_at=stored_at,
    )
    new = statement.excluded.last_used_at
    later = case((new > manifests.c.last_used_at, new), else_=manifests.c.last_used_at)
    manifest_id: int = connection.execute(
        statement.on_conflict_do_update(
            index_elements=[manifests.c.repository_id, manifests.c.digest],
            set_={"last_used_at": later},
        ).returning(manifests.c.id)
    ).scalar_one()
    return manifest_id


def _parts(references: References | None) -> Iterator[tuple[str, Descriptor]]:
    if references is None:
        return
    yield from ((CHILD, child) for child in references.manifests)
    yield from ((BLOB, blob) for blob in references.blobs)
    if references.subject is not None:
        yield SUBJECT, references.subject
