"""A SQLite file of its own for every test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mirror.metadata.sql import SqlMetadata, open_sqlite


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "a folder with ?, # and %41 in its name"
    folder.mkdir()
    return folder / "metadata.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqlMetadata]:
    store = await open_sqlite(path)
    yield store
    await store.close()
