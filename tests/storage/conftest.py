"""A filesystem store of its own for every test."""

from pathlib import Path

import pytest

from mirror.storage.filesystem import FilesystemBlobStore
from tests.conformance.blobs import SetClock


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "new" / "data"
    FilesystemBlobStore.prepare(root)
    return root


@pytest.fixture
def store(root: Path, clock: SetClock) -> FilesystemBlobStore:
    return FilesystemBlobStore(root, clock)
