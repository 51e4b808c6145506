"""Which version of the tables a database has, and how it gets ours.

A new database gets the tables of ``schema`` at once. Alembic takes more than a second to import,
so it is not touched unless there is something to migrate.
"""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, insert, inspect, select

from mirror.metadata.schema import SCHEMA_VERSION, metadata, schema_versions
from mirror.ports.metadata import MetadataError, MetadataNewer


@dataclass(frozen=True, slots=True)
class Target:
    """The version wanted, and the folder of the migrations that lead to it."""

    version: str
    folder: Path


PACKAGED = Target(SCHEMA_VERSION, Path(__file__).with_name("migrations"))


def read_version(connection: Connection) -> str | None:
    """None for an empty database. Raises MetadataError for one that is not ours."""
    names = inspect(connection).get_table_names()
    if not names:
        return None
    if schema_versions.name not in names:
        raise MetadataError("the metadata file is a database of another program")
    version = connection.scalar(select(schema_versions.c.version_num))
    if version is None:
        raise MetadataError("the metadata file does not tell its version")
    return str(version)


def must_migrate(version: str, target: Target) -> bool:
    """Raises MetadataNewer where there is no way back to ours."""
    if version > target.version:
        raise MetadataNewer(
            f"the metadata have version {version}, this server knows none after {target.version}:"
            " use the later server that wrote them, or restore the copy it made of the older file"
        )
    return version < target.version


def create_schema(connection: Connection) -> None:
    metadata.create_all(connection)
    connection.execute(insert(schema_versions).values(version_num=SCHEMA_VERSION))


def upgrade_schema(connection: Connection, folder: Path) -> None:
    """Run what is missing of the migrations in the folder, in the transaction of the caller."""
    from alembic import command  # noqa: PLC0415 - takes more than a second
    from alembic.config import Config  # noqa: PLC0415 - takes more than a second

    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
