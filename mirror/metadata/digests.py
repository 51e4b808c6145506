"""Rows of digests: the numbers that other rows have for them."""

from collections.abc import Collection, Sequence

from sqlalchemy import (
    BindParameter,
    Connection,
    ScalarSelect,
    bindparam,
    delete,
    exists,
    select,
    type_coerce,
)

from mirror.metadata.columns import DigestText, PlainText
from mirror.metadata.parts import in_parts
from mirror.metadata.schema import blob_links, blobs, digests, manifest_references
from mirror.metadata.upsert import Upsert, or_nothing
from mirror.oci.digest import Digest

_text = type_coerce(digests.c.digest, PlainText)
_texts: BindParameter[list[str]] = bindparam("texts", expanding=True)
_IDS = select(digests.c.id, _text).where(_text.in_(_texts))
_ENSURE = Upsert(digests, or_nothing)
_ID = select(digests.c.id).where(digests.c.digest == bindparam("asked", type_=DigestText))
_MAKE = Upsert(digests, lambda insert: insert.on_conflict_do_nothing().returning(digests.c.id))

ASKED_ID = _ID.scalar_subquery()
"""The id of the parameter ``asked`` as part of a larger statement that is made once. NULL, which
equals nothing, for an unknown one.
"""


def id_of_digest(digest: Digest) -> ScalarSelect[int]:
    """The id as part of a larger statement; NULL, which equals nothing, for an unknown one."""
    return select(digests.c.id).where(digests.c.digest == digest).scalar_subquery()


def ids_of(connection: Connection, wanted: Collection[Digest]) -> dict[Digest, int]:
    """Of those that are known, in no particular order."""
    by_text = {str(digest): digest for digest in wanted}
    return {
        by_text[row[1]]: row[0]
        for some in in_parts(list(by_text))
        for row in connection.execute(_IDS, {"texts": some})
    }


def ensure_digest(connection: Connection, digest: Digest) -> int:
    """Its id, after a row was made for it if there was none."""
    known: int | None = connection.scalar(_ID, {"asked": digest})
    if known is None:
        known = connection.scalar(_MAKE.on(connection), {"digest": digest})
    if known is None:  # somebody else has made it in between
        known = connection.execute(_ID, {"asked": digest}).scalar_one()
    return known


def ensure_digests(connection: Connection, wanted: Collection[Digest]) -> dict[Digest, int]:
    """The ids of all of them, after rows were made for those that had none."""
    known = ids_of(connection, wanted)
    rows = [{"digest": digest} for digest in dict.fromkeys(wanted) if digest not in known]
    if not rows:
        return known
    connection.execute(_ENSURE.on(connection), rows)
    return known | ids_of(connection, [row["digest"] for row in rows])


def forget_unused(connection: Connection, ids: Sequence[int]) -> None:
    """Remove those of them that are neither stored nor linked nor referred to any more."""
    for some in in_parts(ids):
        connection.execute(_FORGET, {"ids": some})


_ids: BindParameter[list[int]] = bindparam("ids", expanding=True)
_FORGET = delete(digests).where(
    digests.c.id.in_(_ids),
    ~exists(blobs.c.digest_id).where(blobs.c.digest_id == digests.c.id),
    ~exists(blob_links.c.digest_id).where(blob_links.c.digest_id == digests.c.id),
    ~exists(manifest_references.c.kind).where(manifest_references.c.child_id == digests.c.id),
)
