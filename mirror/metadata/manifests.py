"""Statements about manifests, and about what goes with them."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import (
    BindParameter,
    Connection,
    bindparam,
    case,
    delete,
    exists,
    select,
    tuple_,
)

from mirror.metadata.blobs import link_blobs, store_blob
from mirror.metadata.columns import DigestText
from mirror.metadata.digests import ensure_digests, forget_unused
from mirror.metadata.parts import in_parts
from mirror.metadata.repositories import OWNER_ID, ensure_repository, id_of, owner
from mirror.metadata.schema import (
    BLOB,
    CHILD,
    SELF,
    SUBJECT,
    blob_links,
    blobs,
    manifest_references,
    manifests,
    tags,
)
from mirror.metadata.upsert import Insert, Upsert, or_nothing
from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor, References
from mirror.ports.repository import Repository

_GET = select(manifests.c.media_type, manifests.c.size).where(
    manifests.c.repository_id == OWNER_ID,
    manifests.c.digest == bindparam("asked", type_=DigestText),
)


def get_manifest(
    connection: Connection, repository: Repository, digest: Digest
) -> Descriptor | None:
    row = connection.execute(_GET, {**owner(repository), "asked": digest}).one_or_none()
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
    parts = [(SELF, descriptor), *_parts(references)]
    ids = ensure_digests(connection, [part.digest for _, part in parts])
    store_blob(connection, ids[descriptor.digest], descriptor.size, stored_at)
    connection.execute(
        _REFER.on(connection),
        [
            {
                "manifest_id": manifest_id,
                "kind": kind,
                "child_id": ids[part.digest],
                "repository_id": repository_id,
                "size": part.size,
                "media_type": part.media_type,
                "platform": str(part.platform) if part.platform and kind == CHILD else None,
            }
            for kind, part in parts
        ],
    )
    linked = [ids[part.digest] for kind, part in parts if kind == BLOB]
    link_blobs(connection, repository, linked, stored_at)


def delete_manifest(connection: Connection, repository: Repository, digest: Digest) -> bool:
    repository_id = id_of(repository)
    connection.execute(
        delete(tags).where(tags.c.repository_id == repository_id, tags.c.digest == digest)
    )
    manifest_id = connection.scalar(
        select(manifests.c.id).where(
            manifests.c.repository_id == repository_id, manifests.c.digest == digest
        )
    )
    if manifest_id is None:
        return False
    remove_manifests(connection, [manifest_id])
    return True


def remove_manifests(connection: Connection, ids: Sequence[int]) -> None:
    """Also their tags, and the links of blobs that nothing else in the repository refers to."""
    for some in in_parts(ids):
        connection.execute(_DELETE_LINKS, {"ids": some})
        remove_but_links(connection, some)


def remove_but_links(connection: Connection, ids: Sequence[int]) -> None:
    gone = {"ids": ids}
    not_stored = connection.scalars(_NOT_STORED, gone).all()
    connection.execute(_DELETE_TAGS, gone)
    connection.execute(_DELETE, gone)
    forget_unused(connection, not_stored)


_ids: BindParameter[list[int]] = bindparam("ids", expanding=True)
_going = manifest_references.alias("going")
_other = manifest_references.alias("other")
# What is stored stays known.
_NOT_STORED = (
    select(_going.c.child_id)
    .distinct()
    .where(
        _going.c.manifest_id.in_(_ids),
        ~exists(blobs.c.digest_id).where(blobs.c.digest_id == _going.c.child_id),
    )
)
_named = tags.alias("named")
# By their own key, which alone is sure to be searched with all of its columns.
_DELETE_TAGS = delete(tags).where(
    tuple_(tags.c.repository_id, tags.c.tag).in_(
        select(_named.c.repository_id, _named.c.tag)
        .join(
            manifests,
            (manifests.c.repository_id == _named.c.repository_id)
            & (manifests.c.digest == _named.c.digest),
        )
        .where(manifests.c.id.in_(_ids))
    )
)
_DELETE_LINKS = delete(blob_links).where(
    tuple_(blob_links.c.digest_id, blob_links.c.repository_id).in_(
        select(_going.c.child_id, _going.c.repository_id).where(
            _going.c.manifest_id.in_(_ids), _going.c.kind == BLOB
        )
    ),
    ~exists(_other.c.kind).where(
        _other.c.child_id == blob_links.c.digest_id,
        _other.c.repository_id == blob_links.c.repository_id,
        _other.c.kind == BLOB,
        _other.c.manifest_id.not_in(_ids),
    ),
)
_DELETE = delete(manifests).where(manifests.c.id.in_(_ids))


def _ensure_manifest(
    connection: Connection, repository_id: int, descriptor: Descriptor, stored_at: datetime
) -> int:
    row = {
        "repository_id": repository_id,
        "digest": descriptor.digest,
        "media_type": descriptor.media_type,
        "size": descriptor.size,
        "stored_at": stored_at,
        "last_used_at": stored_at,
    }
    connection.execute(_ENSURE.on(connection), row)
    manifest_id: int = connection.execute(_ID, row).scalar_one()
    return manifest_id


def _or_use(insert: Insert) -> Insert:
    """The first media type of a digest stays."""
    new = insert.excluded.last_used_at
    later = case((new > manifests.c.last_used_at, new), else_=manifests.c.last_used_at)
    return insert.on_conflict_do_update(
        index_elements=[manifests.c.repository_id, manifests.c.digest],
        set_={"last_used_at": later},
    )


_ENSURE = Upsert(manifests, _or_use)
_ID = select(manifests.c.id).where(
    manifests.c.repository_id == bindparam("repository_id"),
    manifests.c.digest == bindparam("digest", type_=DigestText),
)
_REFER = Upsert(manifest_references, or_nothing)


def _parts(references: References | None) -> Iterator[tuple[str, Descriptor]]:
    if references is None:
        return
    yield from ((CHILD, child) for child in references.manifests)
    yield from ((BLOB, blob) for blob in references.blobs)
    if references.subject is not None:
        yield SUBJECT, references.subject
