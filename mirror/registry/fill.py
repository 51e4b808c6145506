"""One download of one blob, however many clients want it.

Upstream chunks go to an ingest, readers follow the growing file. Until the digest has matched, a
reader gets everything of its range but the end: no complete answer ever carries unverified bytes.
A fill belongs to nobody's request; it runs to its end when clients leave, and no client slows it.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from mirror.oci.digest import Digest
from mirror.ports.blobs import DigestMismatch, Ingest, Piece, StorageError
from mirror.ports.metadata import MetadataError
from mirror.ports.upstream import UpstreamError, UpstreamInvalid, UpstreamUnreachable
from mirror.registry.custody import Custody
from mirror.registry.follow import PROGRESS, RESUMES, WITHHELD, FillFailed, Source, Unstored, follow

log = logging.getLogger(__name__)

MOST_UNANNOUNCED = 128 * 1024 * 1024
"""Bytes that are taken from an upstream which does not say how many there will be."""


@dataclass(frozen=True, slots=True)
class FillPlan:
    """What a fill needs to know and whom it tells.

    ``size`` is what a manifest says of the blob, ``None`` when no manifest is known; ``measure``
    asks the upstream, where its answer does not tell. ``admit`` makes room for that many bytes and
    raises StorageFull when there is none. ``received`` counts downloaded bytes. ``stored`` is
    awaited after the blob was published, both in ``custody``.
    """

    digest: Digest
    source: Source
    ingest: Callable[[], Awaitable[Ingest]]
    size: int | None
    measure: Callable[[], Awaitable[int | None]]
    admit: Callable[[int], Awaitable[None]]
    received: Callable[[int], None]
    stored: Callable[[int], Awaitable[None]]
    custody: Custody
    pause: Callable[[int], Awaitable[None]]


class Fill:
    """Run it once with ``run``; join it with ``opened`` and ``pieces`` any number of times."""

    def __init__(self, plan: FillPlan) -> None:
        self._plan = plan
        self._size = plan.size
        self._ingest: Ingest | None = None
        self._unstored: Unstored | None = None
        self._verified = False
        self._failure: BaseException | None = None
        self._absent = False
        self._begun = False
        self._opened = asyncio.Event()
        self._changed = asyncio.Event()
        self._readers = 0
        self._ended = False

    @property
    def digest(self) -> Digest:
        return self._plan.digest

    @property
    def size(self) -> int | None:
        """Bytes in the whole blob, ``None`` until it is known."""
        return self._size

    @property
    def written(self) -> int:
        """Bytes on disk so far."""
        return self._ingest.offset if self._ingest is not None else 0

    @property
    def storing(self) -> bool:
        """Whether the blob will be here afterwards, as far as is known."""
        return self._unstored is None and self._failure is None

    async def opened(self) -> int | None:
        """The size of the blob in bytes once there is something for readers to get, or soon.

        ``None`` when the upstream does not have it. Raises FillFailed. A blob that is withheld as
        a whole, because it is small or empty, is opened when it was verified.
        """
        await self._opened.wait()
        if self._absent:
            return None
        if self._size is None or (self._failure is not None and not self._verified):
            raise FillFailed from self._failure
        return self._size

    async def ended(self) -> None:
        """Until nothing more will come of it."""
        while not self._ended:
            await self.changed()

    async def run(self) -> None:
        """Download, verify, publish. Failures are told to the readers, not raised."""
        try:
            await self._fill()
        except StorageError as error:
            log.warning("storing %s failed, passing it through: %s", self.digest, error)
            await self._stop_storing()
        except DigestMismatch as error:
            self._fail(UpstreamInvalid(f"the upstream sent other bytes: {error}"))
            await self._set_aside(str(error))
        except UpstreamError as error:
            self._fail(error)
            await self._distrust(error)
        except Exception as error:  # the supervisor of this task: readers must hear of any end
            log.exception("the fill of %s failed", self.digest)
            self._fail(error)
        finally:
            self._ended = True
            if self._unstored is None and self._failure is None and not self._verified:
                self._failure = UpstreamUnreachable("the server is stopping")
            self._opened.set()
            self._ring()
            self._release()

    def join(self) -> "FillReader":
        """A reader of this fill; it is counted until it is closed."""
        self._readers += 1
        return FillReader(self)

    def leave(self) -> None:
        """One reader fewer."""
        self._readers -= 1
        self._release()

    # The download.

    async def _fill(self) -> None:
        ingest = await self._begin_ingest()
        has_every_byte = ingest.offset > 0 and ingest.offset == self._size
        there = await (self._is_permitted() if has_every_byte else self._download(ingest))
        if not there:
            return
        await ingest.verify(self.digest)
        self._verified = True
        self._opened.set()
        self._ring()
        await self._publish(ingest)

    async def _begin_ingest(self) -> Ingest:
        """With what an earlier run left, unless that cannot be the beginning of the blob."""
        ingest = self._ingest = await self._plan.ingest()
        if ingest.offset == 0:
            return ingest
        if self._size in (None, ingest.offset) and await _is_whole(ingest, self.digest):
            # That run had every byte and was killed before it could publish.
            self._size = ingest.offset
        elif self._size is not None and ingest.offset >= self._size:
            self._ingest = None
            await ingest.abort()
            ingest.close()
            ingest = self._ingest = await self._plan.ingest()
        return ingest

    async def _is_permitted(self) -> bool:
        """Bytes that a download for another repository left here are no right to show them."""
        if self._plan.size is None:
            self._absent = await self._plan.measure() is None
        return not self._absent

    async def _download(self, ingest: Ingest) -> bool:
        """Until the end, over as many connections as it takes; whether the blob is there."""
        failures = 0
        while True:
            before = ingest.offset
            try:
                return await self._receive(ingest)
            except UpstreamError as error:
                if isinstance(error, UpstreamInvalid) or not self._begun:
                    raise
                failures = 1 if ingest.offset - before >= PROGRESS else failures + 1
                if failures > RESUMES:
                    raise
                log.info("resuming %s at %d: %s", self.digest, ingest.offset, error)
                await self._plan.pause(failures)

    async def _receive(self, ingest: Ingest) -> bool:
        async with self._plan.source(ingest.offset) as remote:
            if remote is None:
                if self._begun:
                    raise UpstreamInvalid("the blob disappeared while it was downloaded")
                self._absent = True
                await ingest.abort()
                return False
            self._learn(remote.size)
            if not self._begun:
                await self._prepare(ingest.offset)
                self._begun = True
            self._open()
            async for chunk in remote.chunks():
                self._plan.received(len(chunk))
                await ingest.write(chunk)
                self._check_length(ingest.offset)
                self._ring()
        if self._size is None:
            self._size = ingest.offset
        if ingest.offset < self._size:
            raise UpstreamUnreachable(f"the blob ended after {ingest.offset} of {self._size} bytes")
        return True

    async def _prepare(self, offset: int) -> None:
        """Room, for as many bytes as are to come."""
        if self._size is None:
            with contextlib.suppress(UpstreamError):
                self._learn(await self._plan.measure())
        await self._plan.admit(max((self._size or 0) - offset, 0))

    def _learn(self, size: int | None) -> None:
        if size is None:
            return
        if self._size is not None and size != self._size:
            raise UpstreamInvalid(f"the blob has {size} bytes where {self._size} were announced")
        self._size = size

    def _open(self) -> None:
        """Let readers start, unless there is nothing for them before the digest has matched.

        As long as they have no status line, they can be told what is wrong.
        """
        if self._size is not None and self._size > WITHHELD:
            self._opened.set()

    def _check_length(self, offset: int) -> None:
        if self._size is not None and offset > self._size:
            raise UpstreamInvalid(f"the upstream sends more than the {self._size} bytes announced")
        if self._size is None and offset > MOST_UNANNOUNCED:
            raise UpstreamInvalid(f"the upstream does not say how much more than {offset} bytes")

    async def _publish(self, ingest: Ingest) -> None:
        """A failure here costs the copy, not the answers: readers have the file open."""
        try:
            async with self._plan.custody.arriving(self.digest):
                await ingest.publish(self.digest)
                await self._plan.stored(ingest.offset)
        except (StorageError, MetadataError) as error:
            log.warning("%s was downloaded but could not be kept: %s", self.digest, error)
        except Exception:
            log.exception("%s was downloaded but could not be kept", self.digest)

    async def _set_aside(self, reason: str) -> None:
        if self._ingest is None:
            return
        try:
            await self._ingest.quarantine(reason)
        except StorageError as error:
            log.warning("%s could not be quarantined: %s", self.digest, error)

    async def _distrust(self, error: UpstreamError) -> None:
        """Begin at the first byte next time when the upstream contradicted itself.

        Of what never began nothing is left either: anybody can ask for any number of digests.
        """
        if self._ingest is None:
            return
        if isinstance(error, UpstreamInvalid) or self._ingest.offset == 0:
            with contextlib.suppress(StorageError):
                await self._ingest.abort()

    def _fail(self, error: Exception) -> None:
        """Tell whoever waits; cleaning up may take a while."""
        self._failure = error
        self._opened.set()
        self._ring()

    async def _stop_storing(self) -> None:
        # Only sha256 is hashed while writing; any other algorithm starts again at the first byte.
        if self._ingest is None or self.digest.algorithm != "sha256":
            unstored = Unstored(0, self.digest.hasher())
        else:
            unstored = Unstored(self._ingest.offset, self._ingest.hasher())
        try:
            if self._size is None:
                self._learn(await self._plan.measure())
                self._absent = self._size is None
            if self._size == 0 and not self.digest.matches(b""):
                # Nothing can be withheld from a reader of nothing.
                raise UpstreamInvalid("the upstream says that the blob is empty, which it is not")
        except UpstreamError as error:
            self._failure = error
        else:
            self._unstored = unstored
        await self._make_way()

    async def _make_way(self) -> None:
        """What was written is of use to those who read it now, and its room to everybody else."""
        if self._ingest is not None:
            with contextlib.suppress(StorageError):
                await self._ingest.abort()

    # What readers ask for.

    @property
    def verified(self) -> bool:
        """Whether the whole blob was received and is what its digest says."""
        return self._verified

    @property
    def failure(self) -> BaseException | None:
        return self._failure

    @property
    def unstored(self) -> Unstored | None:
        """Where storing stopped while the upstream would have gone on; ``None``: it did not."""
        return self._unstored

    @property
    def source(self) -> Source:
        return self._plan.source

    @property
    def pause(self) -> Callable[[int], Awaitable[None]]:
        return self._plan.pause

    @property
    def received(self) -> Callable[[int], None]:
        return self._plan.received

    def ingested(self) -> Ingest:
        """The ingest, for what is written. Raises FillFailed when there never was one."""
        if self._ingest is None:
            raise FillFailed from self._failure
        return self._ingest

    async def changed(self) -> None:
        """Until there is something new to see."""
        await self._changed.wait()

    def _ring(self) -> None:
        # Everybody who waits now is woken; whoever comes later waits for the next ring.
        self._changed.set()
        self._changed.clear()

    def _release(self) -> None:
        """Let go of the file when the fill has ended and the last reader has left."""
        if self._ended and self._readers == 0 and self._ingest is not None:
            self._ingest.close()


async def _is_whole(ingest: Ingest, digest: Digest) -> bool:
    try:
        await ingest.verify(digest)
    except DigestMismatch:
        return False
    return True


class FillReader:
    """A blob that is coming in, opened for reading: an OpenBlob."""

    def __init__(self, fill: Fill) -> None:
        self._fill = fill
        self._closed = False

    @property
    def size(self) -> int:
        """Bytes in the whole blob. Right once the fill is opened."""
        return self._fill.size or 0

    def pieces(self, start: int, stop: int) -> AsyncGenerator[Piece, None]:
        """The bytes ``start`` to ``stop`` (half open) as they come in.

        Raises FillFailed when they will not come, before the last of them was yielded.
        """
        return follow(self._fill, start, stop)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._fill.leave()
