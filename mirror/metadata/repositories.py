"""Rows of repositories. They are never removed, so an id once known stays valid."""

from sqlalchemy import Connection, ScalarSelect, select

from mirror.metadata.schema import HOSTED, repositories
from mirror.metadata.upsert import insert_into
from mirror.oci.reference import RepositoryName
from mirror.ports.repository import Repository


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
    known: int | None = connection.scalar(select(id_of(repository)))
    if known is not None:
        return known
    row = {"upstream": repository.upstream or HOSTED, "name": repository.name.value}
    connection.execute(insert_into(connection, repositories).on_conflict_do_nothing(), row)
    made: int = connection.execute(select(id_of(repository))).scalar_one()
    return made


def repository_from(upstream: str, name: str) -> Repository:
    return Repository(upstream or None, RepositoryName(name))
