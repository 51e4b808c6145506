"""``data/ingest``: the ingests of a store, which of them are open, and what was left behind."""

import re
import stat
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from mirror.ports.blobs import INGEST_ID, StorageError
from mirror.storage.disk import in_thread
from mirror.storage.ingest import FileIngest, IngestSurroundings, NothingBegun

_PUT = re.compile(r"\.put-[0-9]{1,18}")
_SWEPT = ".swept"


class IngestFolder:
    """Files ``<id>``, and ``.put-<n>`` for blobs that are stored in one go.

    The lock keeps a sweep from removing what is being resumed. It is taken on the event loop, so
    nobody may hold it for longer than a rename.
    """

    def __init__(self, path: Path, surroundings: IngestSurroundings) -> None:
        self._path = path
        self._surroundings = surroundings
        self._open: set[str] = set()
        self._lock = threading.Lock()
        self._puts = 0

    async def begin(self, ingest_id: str) -> FileIngest:
        """Raises ValueError for what is no id."""
        return await self._begin(_checked(ingest_id), FileIngest.resume)

    async def resume(self, ingest_id: str, unless_before: datetime) -> FileIngest | None:
        """``None`` when there is no file of this id, or none as young. Raises as ``begin`` does."""
        limit = unless_before.timestamp()
        try:
            return await self._begin(_checked(ingest_id), lambda ingest: ingest.take_up(limit))
        except NothingBegun:
            return None

    def begin_put(self) -> FileIngest:
        """An ingest for one ``put``: nobody resumes it, and no id is its name."""
        self._puts += 1
        return self._new(f".put-{self._puts}")

    async def sweep(self, older_than: datetime, prefix: str) -> int:
        """The bytes freed."""
        limit = older_than.timestamp()
        return await in_thread(
            self._surroundings.executor, "sweep ingests", lambda: sum(self._sweep(limit, prefix))
        )

    async def _begin(
        self, name: str, opening: Callable[[FileIngest], Awaitable[None]]
    ) -> FileIngest:
        ingest = self._new(name)
        try:
            await opening(ingest)
        except BaseException:
            ingest.close()
            raise
        return ingest

    def _new(self, name: str) -> FileIngest:
        with self._lock:
            if name in self._open:
                raise StorageError("cannot begin an ingest: it is open already")
            self._open.add(name)
        return FileIngest(self._path / name, self._surroundings, lambda: self._release(name))

    def _release(self, name: str) -> None:
        self._open.discard(name)

    def _sweep(self, limit: float, prefix: str) -> Iterator[int]:
        swept = self._path / _SWEPT
        for place in self._path.iterdir():
            if INGEST_ID.fullmatch(place.name) and not place.name.startswith(prefix):
                continue
            size = self._take_away(place, swept, limit)
            if size is not None:
                yield size
                swept.unlink(missing_ok=True)

    def _take_away(self, place: Path, swept: Path, limit: float) -> int | None:
        """Move a file that nobody needs out of the way of its id; its size in bytes."""
        if not _is_ours(place.name):
            return None
        with self._lock, suppress(FileNotFoundError):  # a put may end meanwhile
            found = place.lstat()
            abandoned = place.name not in self._open and found.st_mtime < limit
            if abandoned and stat.S_ISREG(found.st_mode):
                self._surroundings.checkpoint("sweep.judged")
                place.rename(swept)
                return found.st_size
        return None


def _checked(ingest_id: str) -> str:
    if INGEST_ID.fullmatch(ingest_id) is None:
        raise ValueError("an ingest id is 1 to 128 letters, digits, - and _")
    return ingest_id


def _is_ours(name: str) -> bool:
    return name == _SWEPT or any(pattern.fullmatch(name) for pattern in (INGEST_ID, _PUT))
