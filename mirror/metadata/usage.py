"""Statements about last use and about counters."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, Update, bindparam, select, update

from mirror.metadata.schema import (
    CHILD,
    HOSTED,
    blobs,
    counters,
    digests,
    manifest_references,
    manifests,
    repositories,
)
from mirror.metadata.upsert import insert_into
from mirror.ports.metadata import Use


def record_uses(connection: Connection, uses: Mapping[Use, datetime]) -> None:
    of_blobs = [
        {"used": use.digest, "at": used_at}
        for use, used_at in uses.items()
        if use.repository is None
    ]
    of_manifests = [
        {
            "upstream": use.repository.upstream or HOSTED,
            "name": use.repository.name.value,
            "used": use.digest,
            "at": used_at,
        }
        for use, used_at in uses.items()
        if use.repository is not None
    ]
    if of_blobs:
        connection.execute(_USE_BLOB, of_blobs)
    if of_manifests:
        connection.execute(_USE_MANIFEST, of_manifests)


def load_counters(connection: Connection) -> Mapping[str, int]:
    return {row.name: row.value for row in connection.execute(select(counters))}


def add_counters(connection: Connection, increments: Mapping[str, int]) -> None:
    if not increments:
        return
    statement = insert_into(connection, counters)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[counters.c.name],
            set_={"value": counters.c.value + statement.excluded.value},
        ),
        [{"name": name, "value": value} for name, value in increments.items()],
    )


def _use_manifests() -> Update:
    """The manifest and those below it. UNION forgets what it has seen: no loop is endless."""
    below = (
        select(manifests.c.id)
        .join(repositories, repositories.c.id == manifests.c.repository_id)
        .where(
            repositories.c.upstream == bindparam("upstream"),
            repositories.c.name == bindparam("name"),
            manifests.c.digest == bindparam("used"),
        )
        .cte("below", recursive=True)
    )
    child = manifests.alias("child")
    below = below.union(
        select(child.c.id)
        .select_from(below)
        .join(
            manifest_references,
            (manifest_references.c.manifest_id == below.c.id)
            & (manifest_references.c.kind == CHILD),
        )
        .join(digests, digests.c.id == manifest_references.c.child_id)
        .join(
            child,
            (child.c.repository_id == manifest_references.c.repository_id)
            & (child.c.digest == digests.c.digest),
        )
    )
    return (
        update(manifests)
        .where(manifests.c.id.in_(select(below.c.id)), manifests.c.last_used_at < bindparam("at"))
        .values(last_used_at=bindparam("at"))
    )


_USE_BLOB = (
    update(blobs)
    .where(
        blobs.c.digest_id
        == select(digests.c.id).where(digests.c.digest == bindparam("used")).scalar_subquery(),
        blobs.c.last_used_at < bindparam("at"),
    )
    .values(last_used_at=bindparam("at"))
)
_USE_MANIFEST = _use_manifests()
