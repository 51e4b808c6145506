"""Ingests that were left behind, and sweeping them."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path

from mirror.storage.filesystem import FilesystemBlobStore
from tests.conformance.blobs import SetClock, begun
from tests.storage.content import CONTENT, DIGEST


async def test_a_put_that_was_left_behind_is_swept(
    root: Path, store: FilesystemBlobStore, clock: SetClock
) -> None:
    for name in (".put-7", ".swept"):
        (root / "ingest" / name).write_bytes(b"12345")
    (root / "ingest" / "folder").mkdir()

    assert await store.sweep_ingests(clock.now() + timedelta(days=10_000)) == 10

    assert [place.name for place in (root / "ingest").iterdir()] == ["folder"]


async def test_an_ingest_that_is_being_swept_is_not_resumed_half(
    root: Path, store: FilesystemBlobStore, clock: SetClock
) -> None:
    """Whoever resumes gets all the bytes or none, and keeps what it got."""
    clock.pass_by(timedelta(days=1))
    for round_number in range(30):
        before = await begun(store, "a", CONTENT)
        before.close()
        os.utime(root / "ingest" / "a", (0, 0))

        ingest, freed = await asyncio.gather(
            store.ingest("a"), store.sweep_ingests(clock.now() - timedelta(hours=1))
        )

        assert (ingest.offset, freed) in [(0, len(CONTENT)), (len(CONTENT), 0)], round_number
        await ingest.write(CONTENT[ingest.offset :])
        await ingest.publish(DIGEST)
        ingest.close()
        await store.delete(DIGEST)
