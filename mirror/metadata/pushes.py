"""Statements about what is pushed to hosted repositories, and removed from them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from sqlalchemy import BindParameter, Connection, Select, bindparam, delete, select

from mirror.metadata.blobs import get_blob, get_stored, link_blobs
from mirror.metadata.digests import ensure_digest, forget_unused, id_of_digest
from mirror.metadata.manifests import get_manifest, put_manifest, remove_but_links
from mirror.metadata.parts import in_parts
from mirror.metadata.repositories import OWNER_ID, id_of, owner, repository_from
from mirror.metadata.schema import (
    BLOB,
    CHILD,
    blob_links,
    blobs,
    digests,
    manifest_references,
    manifests,
    repositories,
    tags,
)
from mirror.metadata.tags import put_tag
from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor
from mirror.oci.reference import Tag
from mirror.ports.hosting import MOST_NAMED, Push, PushOutcome, Removal
from mirror.ports.metadata import BlobRecord, TagRecord
from mirror.ports.repository import Repository

_NOT_THERE = Removal(found=False, needed_by=())


def push_manifest(connection: Connection, push: Push) -> PushOutcome:
    outcome = PushOutcome(
        missing=(*_missing_blobs(connection, push), *_missing_children(connection, push)),
        immovable=_immovable(connection, push),
    )
    if outcome.is_recorded:
        _record(connection, push)
    return outcome


def _missing_blobs(connection: Connection, push: Push) -> Iterator[Descriptor]:
    needed = _by_digest(push.references.blobs)
    there: set[Digest] = set()
    for holder in (push.repository, push.lender):
        if holder is not None:
            there |= _found(connection, _SERVABLE, holder, [*needed.keys() - there])
    return (blob for digest, blob in needed.items() if digest not in there)


def _missing_children(connection: Connection, push: Push) -> Iterator[Descriptor]:
    children = _by_digest(push.references.manifests)
    there = _found(connection, _HELD, push.repository, [*children])
    return (child for digest, child in children.items() if digest not in there)


def _by_digest(descriptors: Sequence[Descriptor]) -> Mapping[Digest, Descriptor]:
    return {descriptor.digest: descriptor for descriptor in descriptors}


_wanted: BindParameter[list[Digest]] = bindparam("wanted", expanding=True)
# Stored and linked to the repository.
_SERVABLE = (
    select(digests.c.digest)
    .join(blobs, blobs.c.digest_id == digests.c.id)
    .join(blob_links, blob_links.c.digest_id == digests.c.id)
    .where(digests.c.digest.in_(_wanted), blob_links.c.repository_id == OWNER_ID)
)
# Manifests of the repository.
_HELD = select(manifests.c.digest).where(
    manifests.c.repository_id == OWNER_ID, manifests.c.digest.in_(_wanted)
)


def _found(
    connection: Connection,
    statement: Select[Digest],
    repository: Repository,
    wanted: Sequence[Digest],
) -> set[Digest]:
    return {
        digest
        for some in in_parts(wanted)
        for digest in connection.scalars(statement, {**owner(repository), "wanted": some})
    }


def _immovable(connection: Connection, push: Push) -> tuple[Tag, ...]:
    wanted = [tag for tag in push.tags if tag in push.immutable]
    if not wanted:
        return ()
    elsewhere = set(
        connection.scalars(
            select(tags.c.tag).where(
                tags.c.repository_id == id_of(push.repository),
                tags.c.tag.in_([tag.value for tag in wanted]),
                tags.c.digest != push.descriptor.digest,
            )
        )
    )
    return tuple(tag for tag in wanted if tag.value in elsewhere)


def _record(connection: Connection, push: Push) -> None:
    put_manifest(connection, push.repository, push.descriptor, push.references, push.pushed_at)
    kept = get_manifest(connection, push.repository, push.descriptor.digest)
    assert kept is not None, "it has just been put"
    for tag in push.tags:
        put_tag(connection, push.repository, tag, TagRecord(kept, push.pushed_at))


def remove_manifest(connection: Connection, repository: Repository, digest: Digest) -> Removal:
    manifest_id = connection.scalar(
        select(manifests.c.id).where(
            manifests.c.repository_id == id_of(repository), manifests.c.digest == digest
        )
    )
    if manifest_id is None:
        return _NOT_THERE
    needed_by = _needed_by(connection, repository, digest, CHILD)
    if not needed_by:
        remove_but_links(connection, [manifest_id])
    return Removal(found=True, needed_by=needed_by)


def mount_blob(
    connection: Connection, repository: Repository, digest: Digest, at: datetime
) -> BlobRecord | None:
    blob = get_stored(connection, digest)
    if blob is not None:
        link_blobs(connection, repository, [ensure_digest(connection, digest)], at)
    return blob


def renew_link(
    connection: Connection, repository: Repository, digest: Digest, at: datetime
) -> BlobRecord | None:
    blob = get_blob(connection, repository, digest)
    if blob is not None:
        link_blobs(connection, repository, [ensure_digest(connection, digest)], at)
    return blob


def unlink_blob(connection: Connection, repository: Repository, digest: Digest) -> Removal:
    link = (
        blob_links.c.digest_id == id_of_digest(digest),
        blob_links.c.repository_id == id_of(repository),
    )
    linked = connection.scalar(select(blob_links.c.digest_id).where(*link))
    if linked is None:
        return _NOT_THERE
    needed_by = _needed_by(connection, repository, digest, BLOB)
    if not needed_by:
        connection.execute(delete(blob_links).where(*link))
        forget_unused(connection, [linked])
    return Removal(found=True, needed_by=needed_by)


def _needed_by(
    connection: Connection, repository: Repository, digest: Digest, kind: str
) -> tuple[Digest, ...]:
    """Manifests of the repository that refer to it, some of them."""
    rows = connection.scalars(
        select(manifests.c.digest)
        .join(manifest_references, manifest_references.c.manifest_id == manifests.c.id)
        .where(
            manifest_references.c.child_id == id_of_digest(digest),
            manifest_references.c.repository_id == id_of(repository),
            manifest_references.c.kind == kind,
        )
        .order_by(manifests.c.digest)
        .limit(MOST_NAMED)
    )
    return tuple(rows)


def list_owners(connection: Connection, digest: Digest, limit: int) -> Sequence[Repository]:
    rows = connection.execute(
        select(repositories.c.upstream, repositories.c.name)
        .join(blob_links, blob_links.c.repository_id == repositories.c.id)
        .join(blobs, blobs.c.digest_id == blob_links.c.digest_id)
        .where(blob_links.c.digest_id == id_of_digest(digest))
        .order_by(repositories.c.upstream, repositories.c.name)
        .limit(limit)
    )
    return [repository_from(row.upstream, row.name) for row in rows]
