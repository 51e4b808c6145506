"""Statements that remove what may go, after one more look at whether it may."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import BindParameter, Connection, bindparam, select, type_coerce

from mirror.metadata.columns import PlainText, Time
from mirror.metadata.evictable import is_evictable_blob, is_evictable_manifest
from mirror.metadata.manifests import remove_manifests
from mirror.metadata.parts import in_parts
from mirror.metadata.removal import removal_if, remove_blobs
from mirror.metadata.repositories import repository_from
from mirror.metadata.schema import blobs, manifests, repositories
from mirror.oci.digest import Digest
from mirror.ports.metadata import BlobRecord, IdleManifest

_unless_after: BindParameter[datetime] = bindparam("unless_after", type_=Time)
_texts: BindParameter[list[str]] = bindparam("texts", expanding=True)
_FIND_MANIFESTS = (
    select(manifests.c.id, manifests.c.digest, repositories.c.upstream, repositories.c.name)
    .join(repositories, repositories.c.id == manifests.c.repository_id)
    .where(
        type_coerce(manifests.c.digest, PlainText).in_(_texts),
        manifests.c.last_used_at <= _unless_after,
        *is_evictable_manifest(),
    )
)
_EVICT = removal_if(blobs.c.last_used_at <= _unless_after, *is_evictable_blob())


def evict(
    connection: Connection,
    idle: Sequence[IdleManifest],
    digests: Sequence[Digest],
    unless_used_after: datetime,
) -> Sequence[BlobRecord]:
    for some in in_parts(idle):
        _remove_manifests(connection, some, unless_used_after)
    return remove_blobs(connection, digests, _EVICT, {"unless_after": unless_used_after})


def _remove_manifests(
    connection: Connection, idle: Sequence[IdleManifest], unless_used_after: datetime
) -> None:
    wanted = {(entry.repository, entry.descriptor.digest) for entry in idle}
    found = connection.execute(
        _FIND_MANIFESTS,
        {"texts": [str(digest) for _, digest in wanted], "unless_after": unless_used_after},
    )
    ids = [
        row.id for row in found if (repository_from(row.upstream, row.name), row.digest) in wanted
    ]
    if ids:
        remove_manifests(connection, ids)
