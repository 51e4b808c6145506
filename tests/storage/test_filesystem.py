"""What the filesystem store promises beyond the port, as a whole."""

from datetime import timedelta
from pathlib import Path

import pytest

from mirror.oci.digest import Digest
from mirror.ports.blobs import StorageError
from mirror.storage.filesystem import FilesystemBlobStore
from tests.conformance.blobs import SetClock, begun, stored
from tests.requirements import SECOND_FILE_SYSTEM, needs_second_file_system
from tests.storage.content import CONTENT, DIGEST, SHA512, mode_of, place_of


@pytest.mark.parametrize("digest", [DIGEST, SHA512], ids=lambda digest: digest.algorithm)
async def test_a_blob_is_a_read_only_file_named_by_its_digest(
    root: Path, store: FilesystemBlobStore, digest: Digest
) -> None:
    await store.put(digest, CONTENT)

    assert place_of(root, digest).read_bytes() == CONTENT
    assert mode_of(place_of(root, digest)) == 0o440
    assert list((root / "ingest").iterdir()) == []


async def test_an_ingest_is_a_file_named_by_its_id(root: Path, store: FilesystemBlobStore) -> None:
    ingest = await begun(store, "upload-1", CONTENT)

    assert (root / "ingest" / "upload-1").read_bytes() == CONTENT
    assert mode_of(root / "ingest" / "upload-1") == 0o600
    ingest.close()


async def test_folders_are_for_the_owner_only(root: Path, store: FilesystemBlobStore) -> None:
    await store.put(DIGEST, CONTENT)

    folders = [root.parent, root, *folders_in(root)]
    assert len(folders) == 7
    assert {mode_of(folder) for folder in folders} == {0o700}


def folders_in(root: Path) -> list[Path]:
    return [place for place in root.rglob("*") if place.is_dir()]


async def test_what_a_crashed_put_left_is_not_resumed(
    root: Path, store: FilesystemBlobStore
) -> None:
    (root / "ingest" / ".put-1").write_bytes(b"left over")

    await store.put(DIGEST, CONTENT)

    assert await stored(store, DIGEST) == CONTENT
    assert list((root / "ingest").iterdir()) == []


def test_preparing_is_repeatable_and_leaves_modes_to_the_operator(root: Path) -> None:
    (root / "blobs").chmod(0o750)

    FilesystemBlobStore.prepare(root)

    assert mode_of(root / "blobs") == 0o750
    assert {place.name for place in root.iterdir()} == {"blobs", "ingest", "quarantine"}
    assert list((root / "ingest").iterdir()) == []


def test_a_file_in_place_of_the_data_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").touch()

    with pytest.raises(StorageError, match=rf"{tmp_path}/data cannot be written: .*exists"):
        FilesystemBlobStore.prepare(tmp_path / "data")


def test_a_file_in_place_of_a_folder_is_named(root: Path) -> None:
    (root / "ingest").rmdir()
    (root / "ingest").touch()

    with pytest.raises(StorageError, match="cannot be written"):
        FilesystemBlobStore.prepare(root)


@needs_second_file_system
def test_folders_on_different_file_systems_are_refused(root: Path) -> None:
    (root / "quarantine").rmdir()
    (root / "quarantine").symlink_to(SECOND_FILE_SYSTEM)

    with pytest.raises(StorageError, match="different file systems"):
        FilesystemBlobStore.prepare(root)


def test_room_is_measured_once_a_second(
    store: FilesystemBlobStore, clock: SetClock, root: Path
) -> None:
    before = store.space()
    root.rename(root.with_name("moved"))

    clock.pass_by(timedelta(seconds=0.9))
    assert store.space() is before

    clock.pass_by(timedelta(seconds=0.2))
    with pytest.raises(StorageError, match=r"^cannot measure free space: "):
        store.space()
