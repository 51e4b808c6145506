"""Uploads over stores of any kind, and bodies that do as a test says."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from mirror.oci.byte_range import ByteRange
from mirror.oci.digest import Digest
from mirror.oci.reference import RepositoryName
from mirror.ports.blobs import BlobStore, FileSlice
from mirror.ports.repository import Repository
from mirror.registry.custody import Custody
from mirror.registry.room import Limits
from mirror.registry.uploads import Body, UploadLimits, UploadPorts, Uploads
from mirror.storage.disk import Checkpoint, pass_checkpoint
from mirror.storage.filesystem import FilesystemBlobStore
from mirror.storage.memory import MemoryBlobStore
from tests.registry.shelf import ROOMY, Shelf
from tests.registry.troubled_stores import TroubledFacts
from tests.world import SettableClock

OURS = Repository(None, RepositoryName("ours"))
THEIRS = Repository(None, RepositoryName("theirs"))
PROXIED = Repository("docker.io", RepositoryName("library/nginx"))
EXPIRY = timedelta(hours=24)
TURN = timedelta(seconds=30)


class ClientLeft(Exception):
    """What the body of a broken connection raises."""


@dataclass(slots=True)
class UploadBench:
    """What outlives a restart, and the uploads of one life."""

    clock: SettableClock
    start_store: Callable[[], BlobStore]
    limits: Limits = ROOMY
    most_open: int = 10
    turn: timedelta = TURN
    glimpse: timedelta = timedelta(microseconds=1)
    facts: TroubledFacts = field(default_factory=TroubledFacts)
    custody: Custody = field(default_factory=Custody)
    ids: "itertools.count[int]" = field(default_factory=itertools.count)
    store: BlobStore = field(init=False)
    shelf: Shelf = field(init=False)
    uploads: Uploads = field(init=False)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.store = self.start_store()
        self.shelf = Shelf(self.clock, self.store, self.facts, self.limits)
        self.uploads = Uploads(
            UploadPorts(
                store=self.store,
                links=self.facts,
                custody=self.custody,
                room=self.shelf.housekeeping,
                clock=self.clock,
                new_id=lambda: f"{next(self.ids):032x}",
            ),
            UploadLimits(EXPIRY, self.turn, self.glimpse, self.most_open),
        )

    def restart(self) -> None:
        self.uploads.close()
        self.begin()

    async def begun(self, *chunks: bytes, repository: Repository = OURS) -> str:
        """The id of an upload with these bytes."""
        upload = await self.uploads.start(repository)
        await self.uploads.append(repository, upload.id, body(*chunks))
        return upload.id

    async def offset(self, upload_id: str) -> int:
        return (await self.uploads.status(OURS, upload_id)).offset

    async def stored(self, digest: Digest) -> bytes | None:
        """What would be served, if the row and the file say the same."""
        opened, record = self.store.open(digest), await self.facts.get_stored(digest)
        if opened is None:
            assert record is None, "a row without its file"
            return None
        content = b""
        with closing(opened):
            async for piece in opened.pieces(0, opened.size):
                if isinstance(piece, FileSlice):
                    piece.file.seek(piece.start)
                    piece = piece.file.read(piece.length)  # noqa: PLW2901 - the same bytes
                content += piece
        assert record is None or record.size == len(content)
        return content

    async def may_serve(self, repository: Repository, digest: Digest) -> bool:
        return await self.facts.get_blob(repository, digest) is not None

    async def unfinished(self) -> int:
        """Bytes of all ingests that nobody has open; they are gone then."""
        self.uploads.close()
        return await self.store.sweep_ingests(self.clock.now() + timedelta(days=1))


def memory_bench(_folder: Path) -> UploadBench:
    clock = SettableClock()
    store = MemoryBlobStore(clock)
    return UploadBench(clock, lambda: store)


def disk_bench(folder: Path, checkpoint: Checkpoint = pass_checkpoint) -> UploadBench:
    clock = SettableClock()
    root = folder / "data"
    FilesystemBlobStore.prepare(root)
    return UploadBench(clock, lambda: FilesystemBlobStore(root, clock, checkpoint=checkpoint))


def body(*chunks: bytes, length: int | None = None, place: ByteRange | None = None) -> Body:
    return Body(_each(chunks), length, place)


def at(start: int, content: bytes) -> Body:
    """As clients send a chunk that is one of several."""
    return body(content, length=len(content), place=ByteRange(start, start + len(content)))


def broken(*chunks: bytes, length: int | None = None) -> Body:
    """The client leaves behind these."""
    return Body(_each(chunks, ClientLeft()), length)


async def _each(chunks: Sequence[bytes], ending: Exception | None = None) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    if ending is not None:
        raise ending


@dataclass(slots=True)
class SlowBody:
    """Chunks that are sent when the test says so, and ``None`` at the end."""

    chunks: "asyncio.Queue[bytes | None]" = field(default_factory=asyncio.Queue)
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    def body(self) -> Body:
        return Body(self._chunks(), None)

    async def _chunks(self) -> AsyncIterator[bytes]:
        self.begun.set()
        while (chunk := await self.chunks.get()) is not None:
            yield chunk
