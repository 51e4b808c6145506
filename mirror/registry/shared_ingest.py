"""The ingests of fills, one per digest, each held by everybody who still reads what it wrote.

An ingest stays open until its last reader has left, which a slow client can put off long after
the download failed. The next fill must not wait for that, nor begin again beside it: it takes up
the same ingest.
"""

from collections.abc import AsyncIterator, Callable

from mirror.oci.digest import Digest, Hasher
from mirror.ports.blobs import BlobStore, Ingest, Piece

LONGEST_ID = 128

FILLS = "fill-"
"""How the ids of their ingests begin."""


class FillIngests:
    """Begins, resumes and shares."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._open: dict[Digest, _Shared] = {}

    def __len__(self) -> int:
        return len(self._open)

    async def take(self, digest: Digest) -> Ingest:
        """The ingest of the blob, for one writer at a time. Raises as ``BlobStore.ingest`` does."""
        shared = self._open.get(digest)
        if shared is None:
            ingest = await self._store.ingest(_id_of(digest))
            shared = self._open[digest] = _Shared(ingest, lambda: self._forget(digest, ingest))
        return SharedIngest(shared)

    def _forget(self, digest: Digest, ingest: Ingest) -> None:
        shared = self._open.get(digest)
        if shared is not None and shared.ingest is ingest:
            del self._open[digest]


class _Shared:
    """An ingest and how many hold it. ``forget`` makes way for another one of its id."""

    def __init__(self, ingest: Ingest, forget: Callable[[], None]) -> None:
        self.ingest = ingest
        self.forget = forget
        self.holders = 0

    def let_go(self) -> None:
        self.holders -= 1
        if self.holders == 0:
            self.forget()
            self.ingest.close()


class SharedIngest:
    """An ``Ingest`` of which closing closes only this hold."""

    def __init__(self, shared: _Shared) -> None:
        self._shared = shared
        self._ingest = shared.ingest
        self._closed = False
        shared.holders += 1

    @property
    def offset(self) -> int:
        return self._ingest.offset

    async def write(self, *chunks: bytes) -> None:
        await self._ingest.write(*chunks)

    def written(self, start: int, stop: int) -> AsyncIterator[Piece]:
        return self._ingest.written(start, stop)

    def digest(self) -> Digest:
        return self._ingest.digest()

    def hasher(self) -> Hasher:
        return self._ingest.hasher()

    async def verify(self, digest: Digest) -> None:
        await self._ingest.verify(digest)

    async def hash_range(self, start: int, stop: int) -> str:
        return await self._ingest.hash_range(start, stop)

    async def publish(self, digest: Digest, *rest: bytes) -> None:
        await self._ingest.publish(digest, *rest)
        self._shared.forget()

    async def abort(self) -> None:
        await self._ingest.abort()
        self._shared.forget()

    async def quarantine(self, reason: str) -> None:
        await self._ingest.quarantine(reason)
        self._shared.forget()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._shared.let_go()


def _id_of(digest: Digest) -> str:
    # Nearly all of a sha512 digest tells blobs apart as well as all of it, and it fits.
    return f"{FILLS}{digest.encoded}"[:LONGEST_ID]
