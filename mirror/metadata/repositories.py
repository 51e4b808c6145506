"""Rows of repositories. They are never removed, so an id once known stays valid."""

from collections.abc import Mapping

from sqlalchemy import Connection, ScalarSelect, bindparam, select

from mirror.metadata.columns import PlainText
from mirror.metadata.schema import HOSTED, repositories
from mirror.metadata.upsert import Upsert, or_nothing
from mirror.oci.reference import RepositoryName
from mirror.ports.repository import Repository

_ID = select(repositories.c.id).where(
    repositories.c.upstream == bindparam("owner_upstream", type_=PlainText),
    repositories.c.name == bindparam("owner_name", type_=PlainText),
)
OWNER_ID = _ID.scalar_subquery()
"""The id as part of a larger statement that is made once; its parameters are those of ``owner``.
NULL, which equals nothing, for an unknown one.
"""

_ENSURE = Upsert(repositories, or_nothing)


def owner(repository: Repository) -> Mapping[str, object]:
    return {"owner_upstream": repository.upstream or HOSTED, "owner_name": repository.name.value}


def id_of(repository: Repository) -> ScalarSelect[int]:
    """The id as part of a larger statement; NULL, which equals nothing, for an unknown one."""
    return (
        select(repositories.c.id)
        .where(
            repositories.c.upstream == (repository.upstream or HOSTED),
            repositories.c.name == repository.name.value,
        )
        .scalar_subquery()
    )


def ensure_repository(connection: Connection, repository: Repository) -> int:
    """Its id, after a row was made for it if there was none."""
    known: int | None = connection.scalar(_ID, owner(repository))
    if known is not None:
        return known
    row = {"upstream": repository.upstream or HOSTED, "name": repository.name.value}
    connection.execute(_ENSURE.on(connection), row)
    made: int = connection.execute(_ID, owner(repository)).scalar_one()
    return made


def repository_from(upstream: str, name: str) -> Repository:
    return Repository(upstream or None, RepositoryName(name))
