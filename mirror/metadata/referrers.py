"""Statements about manifests by what they are about."""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from mirror.metadata.digests import id_of_digest
from mirror.metadata.repositories import id_of
from mirror.metadata.schema import SUBJECT, manifest_references, manifests
from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor
from mirror.ports.repository import Repository


def list_referrers(
    connection: Connection,
    repository: Repository,
    subject: Digest,
    after: Digest | None,
    limit: int,
) -> Sequence[Descriptor]:
    listed = (
        select(manifests.c.media_type, manifests.c.digest, manifests.c.size)
        .join(manifest_references, manifest_references.c.manifest_id == manifests.c.id)
        .where(
            manifest_references.c.child_id == id_of_digest(subject),
            manifest_references.c.repository_id == id_of(repository),
            manifest_references.c.kind == SUBJECT,
        )
    )
    if after is not None:
        listed = listed.where(manifests.c.digest > after)
    rows = connection.execute(listed.order_by(manifests.c.digest).limit(limit))
    return [Descriptor(row.media_type, row.digest, row.size) for row in rows]
