"""What may be collected, said once: for listing it and for removing it."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, bindparam, exists, literal_column, or_

from mirror.metadata.columns import Time
from mirror.metadata.evictable import is_needed
from mirror.metadata.schema import (
    BLOB,
    HOSTED,
    blob_links,
    blobs,
    manifest_references,
    repositories,
)

_unless_after: ColumnElement[datetime] = bindparam("unless_after", type_=Time)
"""The parameter of both."""


def is_dead_blob() -> Sequence[ColumnElement[bool]]:
    """Of a row of ``blobs``: nothing needs it, and no repository has, but for stale links."""
    link = blob_links.alias("link")
    owner = repositories.alias("owner")
    return (
        blobs.c.last_used_at <= _unless_after,
        ~is_needed(),
        ~exists(link.c.digest_id).where(
            link.c.digest_id == blobs.c.digest_id,
            owner.c.id == link.c.repository_id,
            or_(owner.c.upstream != HOSTED, link.c.linked_at > _unless_after),
        ),
    )


def is_aged_link() -> Sequence[ColumnElement[bool]]:
    """Of a row of ``blob_links``: a hosted repository's, and not renewed."""
    return (is_hosted_link(), blob_links.c.linked_at <= _unless_after)


def is_hosted_link() -> ColumnElement[bool]:
    """Of a row of ``blob_links``. Word for word as in the index that holds those alone."""
    return blob_links.c.linked_at > literal_column("0")


def is_unexplained_link() -> ColumnElement[bool]:
    """Of a row of ``blob_links``: no manifest of the repository refers to the blob."""
    reference = manifest_references.alias("reference")
    return ~exists(reference.c.kind).where(
        reference.c.child_id == blob_links.c.digest_id,
        reference.c.repository_id == blob_links.c.repository_id,
        reference.c.kind == BLOB,
    )
