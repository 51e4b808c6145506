"""What lies in a data folder whose server is no more, held against what may lie there."""

import re
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.life.environment import stored_files
from tests.simulated_hub import digest_of

OURS = re.compile(r"fill-(?P<hex>[0-9a-f]{64})|upload-[0-9a-f]{32}-[0-9a-f]{16}|\.put-\d+|\.swept")
DATABASE = ("metadata.db", "metadata.db-wal", "metadata.db-shm")


def inspect(data: Path, contents: Mapping[str, bytes]) -> None:
    """``contents`` is everything that any upstream has, by digest."""
    inspect_blobs(data)
    inspect_ingests(data, contents)
    inspect_database(data)


def inspect_blobs(data: Path) -> None:
    """Every file is what its name says, complete, read-only and in its place."""
    for path in stored_files(data):
        hexadecimal = path.name
        assert digest_of(path.read_bytes()) == f"sha256:{hexadecimal}", path
        assert path.parent == data / "blobs" / "sha256" / hexadecimal[:2]
        assert path.stat().st_mode & 0o777 == 0o440


def inspect_ingests(data: Path, contents: Mapping[str, bytes]) -> None:
    """What is unfinished is the beginning of what it is to become."""
    for path in (data / "ingest").iterdir():
        found = OURS.fullmatch(path.name)
        assert found, path
        if found["hex"]:
            assert contents[f"sha256:{found['hex']}"].startswith(path.read_bytes()), path


def inspect_database(data: Path) -> None:
    """It tells of no blob that is not there: what is recorded was durable before.

    A copy of it: looking at the original would repair what the next server has to repair.
    """
    with TemporaryDirectory(dir=data.parent) as name:
        for file in DATABASE:
            if (data / file).exists():
                shutil.copyfile(data / file, Path(name) / file)
        with closing(sqlite3.connect(Path(name) / DATABASE[0])) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert database.execute("PRAGMA foreign_key_check").fetchall() == []
            began = database.execute("SELECT 1 FROM sqlite_master").fetchone()
        stored = {f"sha256:{path.name}": path.stat().st_size for path in stored_files(data)}
        assert not began or recorded_blobs(Path(name)).items() <= stored.items()


def recorded_blobs(data: Path) -> dict[str, int]:
    """Digest and size of every blob that the metadata of a stopped server tell of."""
    with closing(sqlite3.connect(data / DATABASE[0])) as database:
        return {
            f"sha256:{value.removeprefix('sha256:')}": size
            for value, size in database.execute(
                "SELECT digest, size FROM blobs JOIN digests ON id = digest_id"
            )
        }
