"""Ingests that were left behind, and sweeping them."""

import asyncio
import threading
from datetime import timedelta
from pathlib import Path

from mirror.storage.filesystem import FilesystemBlobStore
from tests.conformance.blobs import SetClock, begun, stored
from tests.storage.content import CONTENT, DIGEST, Gate


async def test_a_put_that_was_left_behind_is_swept(
    root: Path, store: FilesystemBlobStore, clock: SetClock
) -> None:
    for name in (".put-7", ".swept"):
        (root / "ingest" / name).write_bytes(b"12345")
    (root / "ingest" / "folder").mkdir()

    assert await store.sweep_ingests(clock.now() + timedelta(days=10_000)) == 10

    assert [place.name for place in (root / "ingest").iterdir()] == ["folder"]


async def test_an_ingest_that_is_being_swept_is_not_resumed(root: Path, clock: SetClock) -> None:
    """Whoever resumes gets all the bytes or none, and keeps what it got."""
    gate = Gate("sweep.judged")
    store = FilesystemBlobStore(root, clock, checkpoint=gate)
    before = await begun(store, "a", CONTENT)
    before.close()
    sweeping = asyncio.create_task(store.sweep_ingests(clock.now() + timedelta(hours=1)))
    await asyncio.to_thread(gate.reached.wait, 30)

    timer = threading.Timer(0.05, gate.may_go_on.set)
    timer.start()
    ingest = await store.ingest("a")
    timer.join()

    assert await sweeping == len(CONTENT)
    assert ingest.offset == 0
    await ingest.write(CONTENT)
    await ingest.publish(DIGEST)
    ingest.close()
    assert await stored(store, DIGEST) == CONTENT
