"""``data/blobs``: verified bytes under their digests, and the order that makes them durable.

Synchronous: everything but ``open_file`` belongs in a thread. Knows nothing of how bytes come in.
"""

import os
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.errors import DigestInvalid
from mirror.ports.clock import Clock
from mirror.storage.disk import Checkpoint, make_folder, open_regular, sync_folder
from mirror.storage.quarantine import QuarantineFolder

SHARDS = 256


class BlobFolder:
    """Files ``<algorithm>/<first two hex digits>/<hex>``, each complete from the moment it is seen.

    One lock per shard: whoever finds a blob present must know that its name is durable, not just
    about to be.
    """

    def __init__(
        self, path: Path, quarantine: QuarantineFolder, clock: Clock, checkpoint: Checkpoint
    ) -> None:
        self._path = path
        self._quarantine = quarantine
        self._clock = clock
        self._checkpoint = checkpoint
        self._locks = tuple(threading.Lock() for _ in range(SHARDS))
        self._durable_folders = {path}

    def open_file(self, digest: Digest) -> FileIO | None:
        """Raises OSError, and StorageError for what is no regular file."""
        try:
            return open_regular(self._path_of(digest))
        except FileNotFoundError:
            return None

    def place(self, source: Path, digest: Digest, size: int) -> None:
        """Make a file that is verified and durable the blob of this digest. Raises OSError.

        When a blob is there already it stays and the file goes. A failure leaves the file.
        """
        target = self._path_of(digest)
        with self._lock_of(digest):
            self._make_durable(target.parent)
            if self._holds(target, digest, size):
                self._arrive_again(target)
                source.unlink()
            else:
                self._move(source, target)
        self._checkpoint("publish.folder_synced")

    def remove(self, digest: Digest) -> bool:
        """Whether it was there. Raises OSError."""
        with self._lock_of(digest):
            try:
                self._path_of(digest).unlink()
            except FileNotFoundError:
                return False
        self._checkpoint("delete.unlinked")
        return True

    def quarantine(self, digest: Digest, reason: str) -> bool:
        """Whether it was there. Raises OSError."""
        with self._lock_of(digest):
            return self._quarantine.take(self._path_of(digest), digest, reason)

    def list_shard(self, shard: int) -> Sequence[tuple[Digest, int, datetime]]:
        """Raises OSError."""
        if not 0 <= shard < SHARDS:
            raise ValueError(f"shard {shard} is not one of {SHARDS}")
        return [
            blob
            for algorithm in self._path.iterdir()
            for blob in _list_folder(algorithm / f"{shard:02x}", algorithm.name)
        ]

    def _move(self, source: Path, target: Path) -> None:
        try:
            source.rename(target)
            self._checkpoint("publish.renamed")
            sync_folder(target.parent)
        except OSError:
            # The name may or may not survive a power cut, and asking again would get a lie.
            self._durable_folders.discard(target.parent)
            with suppress(OSError):
                target.rename(source)
            raise

    def _arrive_again(self, target: Path) -> None:
        """Renew the time of arrival, lest the blob be collected as one that nobody wants."""
        now = self._clock.now().timestamp()
        os.utime(target, (now, now), follow_symlinks=False)
        sync_folder(target.parent)

    def _holds(self, target: Path, digest: Digest, size: int) -> bool:
        """Whether the blob is there; anything else in its place is set aside."""
        try:
            found = target.lstat()
        except FileNotFoundError:
            return False
        if stat.S_ISREG(found.st_mode) and found.st_size == size:
            return True
        self._quarantine.take(target, digest, f"not a regular file of {size} bytes")
        return False

    def _make_durable(self, folder: Path) -> None:
        if folder not in self._durable_folders:
            self._make_durable(folder.parent)
            make_folder(folder)
            self._durable_folders.add(folder)

    def _path_of(self, digest: Digest) -> Path:
        return self._path / digest.algorithm / digest.encoded[:2] / digest.encoded

    def _lock_of(self, digest: Digest) -> threading.Lock:
        return self._locks[int(digest.encoded[:2], 16)]


def _list_folder(folder: Path, algorithm: str) -> Iterator[tuple[Digest, int, datetime]]:
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            digest = _digest_named(algorithm, entry.name)
            if digest is None or not digest.encoded.startswith(folder.name):
                continue
            with suppress(FileNotFoundError):  # deleted since the listing began
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(found.st_mode):
                    yield digest, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC)


def _digest_named(algorithm: str, name: str) -> Digest | None:
    try:
        return parse_digest(f"{algorithm}:{name}")
    except DigestInvalid:
        return None
