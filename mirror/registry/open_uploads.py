"""Uploads that are going on: which files are open, whose turn it is, which are too old.

An upload is its ingest. Those that are open in memory need not be hashed again for every chunk;
there are only so many of them, and the least recently used is closed for the next. All others are
files that nobody has open, and are taken up again when somebody asks for them.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta

from mirror.ports.blobs import BlobStore, Ingest, StorageError
from mirror.ports.clock import Clock

log = logging.getLogger(__name__)

PREFIX = "upload-"
"""Of the ids of their ingests."""

MOST_OPEN = 128
"""Uploads that are open while nobody writes to them. Each may have two files open."""


class Busy(Exception):
    """Others had the upload for longer than anybody is made to wait."""


class OpenUpload:
    """An upload that somebody holds. ``ingest`` is ``None`` when there is no such upload.

    ``is_published`` when its bytes are a blob already that could not be recorded.
    """

    def __init__(self, now: datetime) -> None:
        self.ingest: Ingest | None = None
        self.is_published = False
        self.used_at = now
        self.lock = asyncio.Lock()
        self.holders = 0

    def let_go(self) -> None:
        """Close the file. Who asks for the upload next finds what the disk says of it."""
        if self.ingest is not None:
            self.ingest.close()
            self.ingest = None
        self.is_published = False

    async def end(self) -> None:
        """There is no such upload any more; bytes that were not published are gone."""
        if self.ingest is not None:
            try:
                await self.ingest.abort()
            except StorageError as error:
                log.warning("an upload that has ended could not be removed: %s", error)
        self.let_go()


class OpenUploads:
    """By the id of the ingest. ``expiry``: for how long an upload may be idle."""

    def __init__(
        self, store: BlobStore, clock: Clock, expiry: timedelta, most: int = MOST_OPEN
    ) -> None:
        self._store = store
        self._clock = clock
        self._expiry = expiry
        self._most = most
        self._uploads: dict[str, OpenUpload] = {}
        """The least recently used first."""

    def __len__(self) -> int:
        return len(self._uploads)

    def offset(self, ingest_id: str) -> int | None:
        """Bytes written to an upload that is open; ``None`` when it is not."""
        upload = self._uploads.get(ingest_id)
        return upload.ingest.offset if upload is not None and upload.ingest is not None else None

    async def begin(self, ingest_id: str) -> None:
        """Nobody else knows the id yet. Raises StorageError."""
        upload = OpenUpload(self._clock.now())
        upload.ingest = await self._store.ingest(ingest_id)
        self._uploads[ingest_id] = upload
        self._close_some()

    @asynccontextmanager
    async def hold(self, ingest_id: str, patience: float) -> AsyncIterator[OpenUpload]:
        """The upload, for one at a time. ``patience`` in seconds. Raises Busy and StorageError."""
        upload = self._uploads.pop(ingest_id, None) or OpenUpload(self._clock.now())
        self._uploads[ingest_id] = upload
        upload.holders += 1
        try:
            await _turn(upload, patience)
            try:
                await self._take_up(ingest_id, upload)
                yield upload
            finally:
                upload.used_at = self._clock.now()
                upload.lock.release()
        finally:
            upload.holders -= 1
            if upload.ingest is None and not upload.holders:
                self._uploads.pop(ingest_id, None)
            self._close_some()

    async def sweep(self) -> int:
        """Remove those that are too old; in bytes. Raises StorageError."""
        limit = self._clock.now() - self._expiry
        old = [each for each, upload in self._uploads.items() if upload.used_at < limit]
        freed = 0
        for ingest_id in old:
            size = self.offset(ingest_id) or 0
            with suppress(Busy):
                async with self.hold(ingest_id, 0):
                    freed += size  # to hold what is too old ends it
        return freed + await self._store.sweep_ingests(limit, PREFIX)

    def close(self) -> None:
        """Close every file; the uploads stay."""
        for upload in self._uploads.values():
            upload.let_go()
        self._uploads.clear()

    async def _take_up(self, ingest_id: str, upload: OpenUpload) -> None:
        limit = self._clock.now() - self._expiry
        if upload.ingest is None:
            upload.ingest = await self._store.resume(ingest_id, limit)
        elif upload.used_at < limit:
            await upload.end()

    def _close_some(self) -> None:
        excess = len(self._uploads) - self._most
        if excess <= 0:
            return
        idle = [each for each, upload in self._uploads.items() if not upload.holders]
        for ingest_id in idle[:excess]:
            self._uploads.pop(ingest_id).let_go()


async def _turn(upload: OpenUpload, patience: float) -> None:
    try:
        async with asyncio.timeout(patience if upload.lock.locked() else None):
            await upload.lock.acquire()
    except TimeoutError:
        raise Busy from None
