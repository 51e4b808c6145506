"""The write-ahead log stays small, whoever reads meanwhile."""

import asyncio
from pathlib import Path

from mirror.metadata.sql import SqlMetadata
from tests.conformance.metadata import NGINX, at, blob, idle_blobs, images, layer

MEBIBYTE = 1024 * 1024


async def scan_until(done: asyncio.Event, store: SqlMetadata) -> int:
    scans = 0
    while not done.is_set():
        await asyncio.gather(idle_blobs(store, 50), store.totals(), images(store))
        scans += 1
    return scans


async def test_the_log_stays_small_while_others_scan(path: Path, store: SqlMetadata) -> None:
    log = path.with_name(f"{path.name}-wal")
    done = asyncio.Event()
    scanning = asyncio.create_task(scan_until(done, store))
    largest = 0

    for number in range(800):
        await store.put_blob(NGINX, blob(layer(f"b{number}")), at(number))
        largest = max(largest, log.stat().st_size)
    done.set()

    assert await scanning > 5
    assert largest < 12 * MEBIBYTE, "it would be some 20 MiB if it were never written back"
