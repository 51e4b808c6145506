"""Statements that remove what may go, after one more look at whether it may."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from mirror.metadata.evictable import is_evictable_blob, is_evictable_manifest
from mirror.metadata.manifests import remove_manifests
from mirror.metadata.parts import in_parts
from mirror.metadata.removal import remove_blobs
from mirror.metadata.repositories import repository_from
from mirror.metadata.schema import blobs, manifests, repositories
from mirror.oci.digest import Digest
from mirror.ports.metadata import BlobRecord, IdleManifest


def evict(
    connection: Connection,
    idle: Sequence[IdleManifest],
    digests: Sequence[Digest],
    unless_used_after: datetime,
) -> Sequence[BlobRecord]:
    for some in in_parts(idle):
        _remove_manifests(connection, some, unless_used_after)
    may_go = (blobs.c.last_used_at <= unless_used_after, *is_evictable_blob())
    return remove_blobs(connection, digests, may_go)


def _remove_manifests(
    connection: Connection, idle: Sequence[IdleManifest], unless_used_after: datetime
) -> None:
    wanted = {(entry.repository, entry.descriptor.digest) for entry in idle}
    found = connection.execute(
        select(manifests.c.id, manifests.c.digest, repositories.c.upstream, repositories.c.name)
        .join(repositories, repositories.c.id == manifests.c.repository_id)
        .where(
            manifests.c.digest.in_({digest for _, digest in wanted}),
            manifests.c.last_used_at <= unless_used_after,
            *is_evictable_manifest(),
        )
    )
    ids = [
        row.id for row in found if (repository_from(row.upstream, row.name), row.digest) in wanted
    ]
    if ids:
        remove_manifests(connection, ids)
