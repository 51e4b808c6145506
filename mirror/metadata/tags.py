"""Statements about tags."""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, exists, select

from mirror.metadata.columns import PlainText
from mirror.metadata.repositories import OWNER_ID, ensure_repository, id_of, owner
from mirror.metadata.schema import manifests, tags
from mirror.metadata.upsert import Upsert
from mirror.oci.manifest import Descriptor
from mirror.oci.reference import Tag
from mirror.ports.metadata import TagRecord
from mirror.ports.repository import Repository

_GET = select(tags.c.media_type, tags.c.digest, tags.c.size, tags.c.confirmed_at).where(
    tags.c.repository_id == OWNER_ID, tags.c.tag == bindparam("tag", type_=PlainText)
)
_PUT = Upsert(
    tags,
    lambda insert: insert.on_conflict_do_update(
        index_elements=[tags.c.repository_id, tags.c.tag],
        set_={
            name: insert.excluded[name] for name in ("digest", "media_type", "size", "confirmed_at")
        },
    ),
)


def get_tag(connection: Connection, repository: Repository, tag: Tag) -> TagRecord | None:
    row = connection.execute(_GET, {**owner(repository), "tag": tag.value}).one_or_none()
    if row is None:
        return None
    return TagRecord(Descriptor(row.media_type, row.digest, row.size), row.confirmed_at)


def put_tag(connection: Connection, repository: Repository, tag: Tag, record: TagRecord) -> None:
    row = {
        "repository_id": ensure_repository(connection, repository),
        "tag": tag.value,
        "digest": record.descriptor.digest,
        "media_type": record.descriptor.media_type,
        "size": record.descriptor.size,
        "confirmed_at": record.confirmed_at,
    }
    connection.execute(_PUT.on(connection), row)


def delete_tag(connection: Connection, repository: Repository, tag: Tag) -> bool:
    result = connection.execute(
        delete(tags).where(tags.c.repository_id == id_of(repository), tags.c.tag == tag.value)
    )
    return result.rowcount > 0


def list_tags(
    connection: Connection, repository: Repository, after: Tag | None, limit: int
) -> Sequence[Tag]:
    held = exists().where(
        manifests.c.repository_id == tags.c.repository_id, manifests.c.digest == tags.c.digest
    )
    listed = select(tags.c.tag).where(tags.c.repository_id == id_of(repository), held)
    if after is not None:
        listed = listed.where(tags.c.tag > after.value)
    rows = connection.scalars(listed.order_by(tags.c.tag).limit(limit))
    return [Tag(text) for text in rows]
