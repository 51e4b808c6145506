"""The SQLite file: who may read it, what survives a restart, and files that are not right."""
# ruff: noqa: ASYNC240 - nothing else runs in the loop meanwhile

import random
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from mirror.metadata.sql import SqlMetadata, open_sqlite
from mirror.metadata.sqlite_database import open_sqlite_database
from mirror.oci.reference import Tag
from mirror.ports.metadata import MetadataError
from tests.conformance.metadata import (
    HOSTED,
    LATEST,
    NGINX,
    blob,
    digest,
    idle_blobs,
    idle_manifests,
    images,
    layer,
    manifest,
    put_image,
    tagged,
)

PAGE = 4096


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqlMetadata]:
    store = await open_sqlite(path, patience=timedelta(milliseconds=200))
    try:
        yield store
    finally:
        await store.close()


@contextmanager
def locked_by_another_process(path: Path) -> Iterator[None]:
    program = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('BEGIN IMMEDIATE')\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        yield
        process.communicate(b"")
    assert process.returncode == 0


async def fill(store: SqlMetadata, count: int = 300) -> None:
    for number in range(count // 10):
        layers = [layer(f"{number} {part}") for part in range(9)]
        await put_image(store, NGINX, f"m{number}", layers, number)
        await store.put_tag(NGINX, Tag(f"t{number}"), tagged(manifest(f"m{number}")))


async def test_only_its_owner_may_read_the_files(path: Path, store: SqlMetadata) -> None:
    await store.put_tag(NGINX, LATEST, tagged(manifest("m")))

    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}

    assert modes == {path.name: 0o600, f"{path.name}-wal": 0o600, f"{path.name}-shm": 0o600}


async def test_everything_survives_a_restart(path: Path) -> None:
    async with opened(path) as store:
        await put_image(store, HOSTED, "m", [layer("a")], 1)
        await store.put_tag(HOSTED, LATEST, tagged(manifest("m"), 2))
        await store.add_counters({"hits": 5})

    async with opened(path) as store:
        assert await store.get_tag(HOSTED, LATEST) == tagged(manifest("m"), 2)
        assert await store.get_manifest(HOSTED, digest("m")) == manifest("m")
        assert await store.get_blob(HOSTED, digest("a")) == blob(layer("a"))
        assert await store.linked_size(HOSTED, digest("a")) == 100
        await store.add_counters({"hits": 1})
        assert await store.load_counters() == {"hits": 6}


async def test_nothing_but_the_file_is_left_after_closing(path: Path) -> None:
    async with opened(path) as store:
        await fill(store, 20)

    assert [file.name for file in path.parent.iterdir()] == [path.name]


async def test_a_closed_store_says_so(store: SqlMetadata) -> None:
    await store.close()

    with pytest.raises(MetadataError, match="closed"):
        await store.get_tag(NGINX, LATEST)
    with pytest.raises(MetadataError, match="closed"):
        await store.put_tag(NGINX, LATEST, tagged(manifest("m")))


async def test_one_connection_writes(path: Path) -> None:
    database = await open_sqlite_database(path)
    insert = "INSERT INTO counters VALUES ('hits', 1)"
    try:
        for lane in (database.reader, database.scanner):
            with pytest.raises(MetadataError, match="readonly"):
                await lane.run(lambda connection: connection.exec_driver_sql(insert))
        await database.writer.run(lambda connection: connection.exec_driver_sql(insert))
    finally:
        await database.close()


def read_pragma(connection: Connection, name: str) -> Any:
    return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


async def test_settings_that_durability_rests_on(path: Path) -> None:
    database = await open_sqlite_database(path)
    try:
        lanes = (database.writer, database.reader, database.scanner)
        names = ("journal_mode", "synchronous", "foreign_keys", "wal_autocheckpoint")
        settings = {
            name: [await lane.run(partial(read_pragma, name=name)) for lane in lanes]
            for name in names
        }
    finally:
        await database.close()

    assert settings["journal_mode"] == ["wal"] * 3
    assert settings["synchronous"][0] == 2, "FULL: what was committed survives a power cut"
    assert settings["foreign_keys"][0] == 1
    assert [pages > 0 for pages in settings["wal_autocheckpoint"]] == [True, False, False]


async def test_a_file_that_another_process_holds_can_be_read_and_not_written(path: Path) -> None:
    async with opened(path) as store:
        await store.put_tag(NGINX, LATEST, tagged(manifest("m")))
        with locked_by_another_process(path):
            with pytest.raises(MetadataError, match="another process"):
                await store.put_tag(NGINX, LATEST, tagged(manifest("n")))
            assert await store.get_tag(NGINX, LATEST) == tagged(manifest("m"))
            assert len(await images(store)) == 1

        await store.put_tag(NGINX, LATEST, tagged(manifest("n")))
        assert await store.get_tag(NGINX, LATEST) == tagged(manifest("n"))


async def test_a_file_that_another_process_holds_cannot_be_opened(path: Path) -> None:
    async with opened(path):
        pass

    with (
        locked_by_another_process(path),
        pytest.raises(MetadataError, match=r"metadata\.db is in use by another process"),
    ):
        await open_sqlite(path, patience=timedelta(milliseconds=50))

    async with opened(path) as store:
        assert await store.load_counters() == {}


async def test_a_folder_that_is_not_there(path: Path) -> None:
    with pytest.raises(MetadataError, match=r"cannot create .*No such file"):
        await open_sqlite(path / "deeper" / "metadata.db")


async def test_a_folder_where_the_file_should_be(path: Path) -> None:
    path.mkdir()

    with pytest.raises(MetadataError, match="is not a file"):
        await open_sqlite(path)


async def test_an_empty_file_is_a_new_one(path: Path) -> None:
    path.touch()

    async with opened(path) as store:
        assert await store.load_counters() == {}


@pytest.mark.parametrize("content", [b"not a database, " * 1000, b"\0" * 8192])
async def test_a_file_that_is_no_database(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    with pytest.raises(MetadataError, match=r"metadata\.db is damaged .*move the file away"):
        await open_sqlite(path)

    assert path.read_bytes() == content


async def test_a_database_of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")

    with pytest.raises(MetadataError, match="another program"):
        await open_sqlite(path)


async def test_a_database_that_does_not_tell_its_version(path: Path) -> None:
    async with opened(path):
        pass
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM alembic_version")

    with pytest.raises(MetadataError, match="version"):
        await open_sqlite(path)


async def use_everything(store: SqlMetadata) -> None:
    for question in (
        images(store),
        store.totals(),
        idle_manifests(store),
        idle_blobs(store),
        store.get_tag(NGINX, Tag("t3")),
        store.get_manifest(NGINX, digest("m3")),
        store.get_blob(NGINX, digest("3 4")),
        store.load_counters(),
        store.put_tag(NGINX, Tag("new"), tagged(manifest("m3"))),
        put_image(store, NGINX, "new", [layer("new")]),
        store.delete_manifest(NGINX, digest("m5")),
    ):
        with suppress(MetadataError):
            await question


@pytest.mark.parametrize("seed", range(6))
async def test_a_damaged_file_is_told_and_nothing_worse(path: Path, seed: int) -> None:
    async with opened(path) as store:
        await fill(store)
    content = bytearray(path.read_bytes())
    chance = random.Random(seed)  # noqa: S311 - which bytes break is no secret
    for _ in range(chance.choice([1, 20])):
        place = chance.randrange(len(content) - 64)
        content[place : place + 64] = chance.randbytes(64)
    path.write_bytes(content)

    with suppress(MetadataError):
        async with opened(path) as store:
            await use_everything(store)


async def test_text_that_is_no_text(path: Path) -> None:
    async with opened(path) as store:
        await store.put_tag(NGINX, LATEST, tagged(manifest("m")))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE tags SET media_type = CAST(x'ff' AS TEXT)")

    async with opened(path) as store:
        with pytest.raises(MetadataError, match=r"metadata\.db: Could not decode"):
            await store.get_tag(NGINX, LATEST)
        assert await store.load_counters() == {}


@pytest.mark.parametrize("pages", [1, 2, 5, 20])
async def test_a_truncated_file_is_told_and_nothing_worse(path: Path, pages: int) -> None:
    async with opened(path) as store:
        await fill(store)
    path.write_bytes(path.read_bytes()[: pages * PAGE])

    with pytest.raises(MetadataError, match="damaged"):
        async with opened(path) as store:
            await images(store)
