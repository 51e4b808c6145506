"""What eviction may take, said once: for listing it and for removing it."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, exists

from mirror.metadata.schema import (
    HOSTED,
    NEEDS,
    blob_links,
    blobs,
    manifest_references,
    repositories,
)


def is_evictable_manifest() -> Sequence[ColumnElement[bool]]:
    """Of a row of ``manifests`` joined with that of its repository."""
    return (repositories.c.upstream != HOSTED,)


def is_evictable_blob() -> Sequence[ColumnElement[bool]]:
    """Of a row of ``blobs``: no manifest needs it, and no hosted repository links it."""
    return (~is_needed(), ~is_linked_by_hosted())


def is_needed() -> ColumnElement[bool]:
    """Of a row of ``blobs``: some manifest needs it, whichever repository has that."""
    need = manifest_references.alias("need")
    # Naming a column, not all of them, lets an index answer alone.
    return exists(need.c.kind).where(need.c.child_id == blobs.c.digest_id, need.c.kind.in_(NEEDS))


def is_linked_by_hosted() -> ColumnElement[bool]:
    """Of a row of ``blobs``: some hosted repository links it, with a manifest or without."""
    link = blob_links.alias("link")
    owner = repositories.alias("owner")
    return exists(link.c.digest_id).where(
        link.c.digest_id == blobs.c.digest_id,
        owner.c.id == link.c.repository_id,
        owner.c.upstream == HOSTED,
    )
