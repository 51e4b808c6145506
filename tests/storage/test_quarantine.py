"""What the operator finds."""

import json
from pathlib import Path

from mirror.oci.digest import digest_of
from mirror.storage.filesystem import FilesystemBlobStore
from mirror.storage.quarantine import KEPT
from tests.conformance.blobs import SetClock, begun
from tests.storage.content import DIGEST, make_folder, place_of


async def test_the_operator_finds_what_was_wrong(
    root: Path, store: FilesystemBlobStore, clock: SetClock
) -> None:
    ingest = await begun(store, "a", b"garbage")
    await ingest.quarantine("the upstream sent \x1b[31mgarbage\n")
    ingest.close()

    name = f"{digest_of(b'garbage').encoded}.1"
    assert (root / "quarantine" / name).read_bytes() == b"garbage"
    note = (root / "quarantine" / f"{name}.json").read_text()
    assert note.isprintable() or note[:-1].isprintable()
    assert json.loads(note) == {
        "digest": str(digest_of(b"garbage")),
        "reason": "the upstream sent \x1b[31mgarbage\n",
        "at": clock.now().isoformat(),
    }


async def test_the_same_blob_may_be_wrong_again(root: Path, store: FilesystemBlobStore) -> None:
    for content in (b"first", b"second"):
        place_of(root, DIGEST).parent.mkdir(parents=True, exist_ok=True)
        place_of(root, DIGEST).write_bytes(content)
        assert await store.quarantine(DIGEST, "wrong")

    assert (root / "quarantine" / f"{DIGEST.encoded}.1").read_bytes() == b"first"
    assert (root / "quarantine" / f"{DIGEST.encoded}.2").read_bytes() == b"second"


async def test_quarantine_is_bounded_and_the_oldest_go_first(
    root: Path, store: FilesystemBlobStore
) -> None:
    place_of(root, DIGEST).parent.mkdir(parents=True)
    make_folder(place_of(root, DIGEST))
    await store.quarantine(DIGEST, "not even a file")
    (root / "quarantine" / "notes of the operator").touch()
    for number in range(KEPT + 2):
        ingest = await begun(store, "a", str(number).encode())
        await ingest.quarantine("wrong")
        ingest.close()

    kept = {place.read_text() for place in (root / "quarantine").glob("*.[0-9]*[0-9]")}
    kept |= {place.read_text() for place in (root / "quarantine").glob("*.[0-9]")}
    assert kept == {str(number) for number in range(2, KEPT + 2)}
    assert len(list((root / "quarantine").glob("*.json"))) == KEPT
    assert (root / "quarantine" / "notes of the operator").exists()
