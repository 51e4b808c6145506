"""From any version of the tables to ours, or not at all.

Later versions are made up here: the packaged migrations with one more.
"""
# ruff: noqa: ASYNC240 - nothing else runs in the loop meanwhile

import asyncio
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine

from mirror.metadata.schema import SCHEMA_VERSION
from mirror.metadata.schema_version import PACKAGED, Target, create_schema, upgrade_schema
from mirror.metadata.sql import SqlMetadata, open_sqlite
from mirror.metadata.sqlite_database import open_sqlite_database
from mirror.ports.metadata import MetadataError, MetadataNewer
from tests.conformance.metadata import (
    LATEST,
    NGINX,
    blob,
    digest,
    layer,
    manifest,
    put_image,
    tagged,
)

PROJECT = Path(__file__).parents[2]
PATIENCE = timedelta(seconds=1)

NEXT_VERSION = f"{int(SCHEMA_VERSION) + 1:04}"
NEXT = f"""
import os, signal
import sqlalchemy as sa
from alembic import op

revision = "{NEXT_VERSION}"
down_revision = "{SCHEMA_VERSION}"

def upgrade():
    with op.batch_alter_table("manifests", recreate="always") as table:
        table.add_column(sa.Column("note", sa.Text))
    op.execute("UPDATE manifests SET note = 'migrated'")
    op.create_table("pins", sa.Column("name", sa.Text, primary_key=True))
    # HERE
"""  # noqa: S608 - a program of ours, not a query
BROKEN = NEXT.replace("# HERE", "op.execute('this is no SQL')")
KILLED = NEXT.replace("# HERE", "os.kill(os.getpid(), signal.SIGKILL)")


def schema_of(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {name: " ".join(sql.split()) for name, sql in rows}


def version_of(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def later(tmp_path: Path, migration: str = NEXT) -> Target:
    folder = tmp_path / "100% migrations"
    if not folder.exists():
        shutil.copytree(PACKAGED.folder, folder)
    (folder / "versions" / "v9999_next.py").write_text(migration)
    return Target(NEXT_VERSION, folder)


async def open_later(path: Path, target: Target) -> SqlMetadata:
    return SqlMetadata(await open_sqlite_database(path, PATIENCE, target))


@pytest.fixture
async def old(path: Path) -> Path:
    """A file of our version with something in it."""
    store = await open_sqlite(path)
    await put_image(store, NGINX, "m", [layer("a")])
    await store.put_tag(NGINX, LATEST, tagged(manifest("m")))
    await store.close()
    return path


async def check_content(store: SqlMetadata) -> None:
    assert await store.get_tag(NGINX, LATEST) == tagged(manifest("m"))
    assert await store.get_blob(NGINX, digest("a")) == blob(layer("a"))
    assert await store.linked_size(NGINX, digest("a")) == 100, "references outlived the table"


def test_the_migrations_lead_to_our_version() -> None:
    config = Config()
    config.set_main_option("script_location", str(PACKAGED.folder))

    assert ScriptDirectory.from_config(config).get_heads() == [SCHEMA_VERSION]


def test_migrations_make_the_same_tables_as_a_new_database(tmp_path: Path) -> None:
    new, migrated = tmp_path / "new.db", tmp_path / "migrated.db"

    for path, make in ((new, create_schema), (migrated, migrate_from_nothing)):
        engine = create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            make(connection)
        engine.dispose()

    ours, theirs = schema_of(new), schema_of(migrated)
    del ours["alembic_version"], theirs["alembic_version"]  # Alembic words its own table its way
    assert ours == theirs
    assert version_of(new) == version_of(migrated) == SCHEMA_VERSION


def migrate_from_nothing(connection: Connection) -> None:
    upgrade_schema(connection, PACKAGED.folder)


async def test_an_older_file_is_migrated_and_keeps_its_content(old: Path, tmp_path: Path) -> None:
    store = await open_later(old, later(tmp_path))
    await check_content(store)
    await store.close()

    assert version_of(old) == NEXT_VERSION
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("SELECT note FROM manifests").fetchall() == [("migrated",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


async def test_a_migration_leaves_a_copy_that_the_older_server_can_use(
    old: Path, tmp_path: Path
) -> None:
    copy = old.with_name(f"{old.name}.{SCHEMA_VERSION}")
    copy.write_text("left by a migration that was cut short")

    await (await open_later(old, later(tmp_path))).close()

    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    store = await open_sqlite(copy)
    await check_content(store)
    await store.close()


async def test_a_migrated_file_is_not_migrated_again(old: Path, tmp_path: Path) -> None:
    await (await open_later(old, later(tmp_path))).close()

    store = await open_later(old, later(tmp_path, BROKEN))
    await check_content(store)
    await store.close()


async def test_a_migration_that_fails_changes_nothing(old: Path, tmp_path: Path) -> None:
    before = schema_of(old)

    with pytest.raises(MetadataError, match="syntax error"):
        await open_later(old, later(tmp_path, BROKEN))

    assert (schema_of(old), version_of(old)) == (before, SCHEMA_VERSION)
    store = await open_later(old, later(tmp_path))
    await check_content(store)
    await store.close()


async def test_a_migration_that_is_killed_changes_nothing(old: Path, tmp_path: Path) -> None:
    before = schema_of(old)
    target = later(tmp_path, KILLED)

    returncode = await asyncio.to_thread(run_migration, old, target)

    assert returncode == -signal.SIGKILL
    store = await open_sqlite(old)
    await check_content(store)
    await store.close()
    assert (schema_of(old), version_of(old)) == (before, SCHEMA_VERSION)
    store = await open_later(old, later(tmp_path))
    await check_content(store)
    await store.close()


def run_migration(path: Path, target: Target) -> int:
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from mirror.metadata.schema_version import Target\n"
        "from mirror.metadata.sqlite_database import PATIENCE, open_sqlite_database\n"
        "path, version, folder = sys.argv[1:]\n"
        "target = Target(version, Path(folder))\n"
        "asyncio.run(open_sqlite_database(Path(path), PATIENCE, target))\n"
    )
    command = [sys.executable, "-c", program, str(path), target.version, str(target.folder)]
    return subprocess.run(command, cwd=PROJECT, check=False).returncode


async def test_a_newer_file_is_refused_and_left_alone(old: Path, tmp_path: Path) -> None:
    await (await open_later(old, later(tmp_path))).close()
    before = old.read_bytes()

    with pytest.raises(
        MetadataNewer, match=rf"version {NEXT_VERSION}.*none after {SCHEMA_VERSION}"
    ):
        await open_sqlite(old)

    assert old.read_bytes() == before


def test_opening_what_needs_no_migration_does_without_alembic(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from mirror.metadata.sql import open_sqlite\n"
        "async def main():\n"
        "    for _ in range(2):\n"
        "        await (await open_sqlite(Path(sys.argv[1]))).close()\n"
        "asyncio.run(main())\n"
        "print('alembic' in sys.modules)\n"
    )

    found = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "metadata.db")],
        cwd=PROJECT,
        check=True,
        capture_output=True,
    )

    assert found.stdout == b"False\n"
