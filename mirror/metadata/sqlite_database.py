"""SQLite as the database: one file, one writing connection, and all that is particular to it.

SQLite up to 3.51.2 can lose commits when two connections write or checkpoint one file
(https://sqlite.org/wal.html#walresetbug). So exactly one connection does either, the others are
opened read-only, and nothing here opens an existing file by other means: closing any descriptor
of it would drop SQLite's locks.
"""

import os
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Literal

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from mirror.metadata.database import Database
from mirror.metadata.lane import Lane, Work
from mirror.metadata.schema_version import (
    PACKAGED,
    Target,
    create_schema,
    must_migrate,
    read_version,
    upgrade_schema,
)
from mirror.ports.metadata import MetadataError

PATIENCE = timedelta(seconds=5)
"""How long to wait for another process that holds the file. Ours holds it in one place only."""

# Otherwise a statement that changes many rows first writes their pages to a file, to undo it alone.
_IN_MEMORY = "temp_store=MEMORY"

# FULL: a push that was acknowledged survives a power cut. Fills need not, but they share the file,
# and a commit costs one fsync. The other limits keep the WAL and the memory small.
_WRITER_PRAGMAS = (
    "synchronous=FULL",
    "wal_autocheckpoint=2000",
    "journal_size_limit=67108864",
    "cache_size=-65536",
    _IN_MEMORY,
)
_READER_PRAGMAS = ("query_only=ON", "wal_autocheckpoint=0", "cache_size=-8192", _IN_MEMORY)

_BEGIN_WRITING = "BEGIN IMMEDIATE"
_BEGIN_READING = "BEGIN"

_DAMAGED = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})
_LOCKED = frozenset({"SQLITE_BUSY", "SQLITE_LOCKED"})


@dataclass(frozen=True, slots=True)
class _Opening:
    """How to connect to the file. ``begin`` is the statement that begins a transaction, if any."""

    path: Path
    patience: timedelta
    mode: Literal["rw", "ro"]
    pragmas: tuple[str, ...]
    begin: str | None


async def open_sqlite_database(
    path: Path, patience: timedelta = PATIENCE, target: Target = PACKAGED
) -> Database:
    """The file's database, made or brought up to date if need be.

    The folder must be there. Raises MetadataNewer where a later version of the server wrote the
    file, and MetadataError where it is damaged, locked, or nothing of ours.
    """
    _create_file(path)
    writing = _Opening(path, patience, "rw", ("foreign_keys=ON", *_WRITER_PRAGMAS), _BEGIN_WRITING)
    writer = await _connect(writing)
    try:
        version = await writer.run(read_version)
        if version is None:
            await writer.run(create_schema)
        elif must_migrate(version, target):
            await writer.close()
            await _migrate(path, patience, version, target)
            writer = await _connect(writing)
        return await _open_readers(path, patience, writer)
    except BaseException:
        await writer.close()
        raise


async def _open_readers(path: Path, patience: timedelta, writer: Lane) -> Database:
    reader = await _connect(_Opening(path, patience, "ro", _READER_PRAGMAS, None))
    try:
        scanner = await _connect(_Opening(path, patience, "ro", _READER_PRAGMAS, _BEGIN_READING))
    except BaseException:
        await reader.close()
        raise
    return Database(writer, reader, scanner)


async def _migrate(path: Path, patience: timedelta, version: str, target: Target) -> None:
    """Leave a copy of the old file, then upgrade in one transaction.

    Without foreign keys: SQLite changes a table by making another one, and dropping the old one
    would delete what refers to it.
    """
    await _run_once(
        _Opening(path, patience, "ro", (), None),
        partial(_copy, to=path.with_name(f"{path.name}.{version}")),
    )
    await _run_once(
        _Opening(path, patience, "rw", _WRITER_PRAGMAS, _BEGIN_WRITING),
        partial(upgrade_schema, folder=target.folder),
    )


async def _run_once(opening: _Opening, work: Work[object]) -> None:
    lane = await _connect(opening)
    try:
        await lane.run(work)
    finally:
        await lane.close()


def _copy(connection: Connection, to: Path) -> None:
    to.unlink(missing_ok=True)
    _create_file(to)
    connection.exec_driver_sql("VACUUM INTO ?", (str(to),))


def _create_file(path: Path) -> None:
    """For its owner only, as the files that SQLite puts beside it will be."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        _check_file(path)
    except OSError as error:
        raise MetadataError(f"cannot create {path}: {error.strerror}") from error


def _check_file(path: Path) -> None:
    """Before the driver tries: it says less."""
    if not path.is_file():
        raise MetadataError(f"{path} is not a file: move it away, or name another data folder")
    if not os.access(path, os.R_OK | os.W_OK):
        raise MetadataError(f"{path} may not be read and written by this user: change its owner")


async def _connect(opening: _Opening) -> Lane:
    engine = create_engine(
        URL.create(
            "sqlite+pysqlite",
            database=f"{opening.path.absolute().as_uri()}?mode={opening.mode}",
            query={"uri": "true"},
        ),
        # isolation_level: the driver must not begin transactions of its own.
        connect_args={"isolation_level": None, "timeout": opening.patience.total_seconds()},
        poolclass=NullPool,
    )
    event.listen(engine, "connect", partial(_set_up, opening))
    if opening.begin is not None:
        event.listen(engine, "begin", partial(_begin, opening.begin))
    return await Lane.open(engine.connect, partial(_explain, opening.path))


def _set_up(opening: _Opening, connection: DBAPIConnection, _record: object) -> None:
    try:
        _apply_pragmas(opening, connection)
    except BaseException:
        connection.close()  # nobody else knows of it yet
        raise


def _apply_pragmas(opening: _Opening, connection: DBAPIConnection) -> None:
    cursor = connection.cursor()
    try:
        if opening.mode == "rw":
            cursor.execute("PRAGMA journal_mode=WAL")
            if cursor.fetchone() != ("wal",):
                raise MetadataError(f"{opening.path} is on a file system without shared memory")
        for pragma in opening.pragmas:
            cursor.execute(f"PRAGMA {pragma}")
    finally:
        cursor.close()


def _begin(statement: str, connection: Connection) -> None:
    connection.exec_driver_sql(statement)


def _explain(path: Path, error: SQLAlchemyError | UnicodeDecodeError) -> MetadataError:
    cause = error.orig if isinstance(error, DBAPIError) else None
    # Errors that the driver makes up itself have no name.
    name = getattr(cause, "sqlite_errorname", "")
    kind = "_".join(name.split("_")[:2])
    if kind in _DAMAGED or isinstance(error, UnicodeDecodeError):
        return MetadataError(
            f"{path} is damaged ({cause or error}). Stop the server, move the file away with"
            " its -wal and -shm, and restore a backup or start without: what is proxied is fetched"
            " again, what is hosted is not."
        )
    if kind in _LOCKED:
        return MetadataError(f"{path} is in use by another process ({cause}): stop that first")
    return MetadataError(f"{path}: {cause or error}")
