"""INSERT … ON CONFLICT, which both databases have and spell alike."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert

Insert = postgresql.Insert | sqlite.Insert
"""With ``on_conflict_do_update`` and ``on_conflict_do_nothing``."""


def insert_into(connection: Connection, table: Table) -> Insert:
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


Completed = Insert | ReturningInsert[Any]


class Upsert:
    """A statement that is made once: making it takes longer than the database takes for it.

    Its values are given when it is executed, so ``excluded`` stands for them.
    """

    def __init__(self, table: Table, complete: Callable[[Insert], Completed]) -> None:
        self._for_postgresql = complete(postgresql.insert(table))
        self._for_sqlite = complete(sqlite.insert(table))

    def on(self, connection: Connection) -> Completed:
        if connection.dialect.name == "postgresql":
            return self._for_postgresql
        return self._for_sqlite


def or_nothing(insert: Insert) -> Insert:
    """What is there stays as it is."""
    return insert.on_conflict_do_nothing()
