"""A registry that is used, and what it promised: who breaks a promise is found out.

A promise ends when somebody takes it back: by deleting, or by letting the grace period pass.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from mirror.oci.digest import Digest, digest_of, parse_digest
from mirror.oci.errors import (
    BlobUnknown,
    BlobUploadUnknown,
    Denied,
    ManifestBlobUnknown,
    ManifestUnknown,
)
from mirror.oci.reference import RepositoryName, Tag
from mirror.ports.metadata import Use
from mirror.ports.repository import Repository
from mirror.registry.answer import BlobAnswer
from mirror.registry.collection import Amounts, Collection, CollectionPorts, CollectionReport
from mirror.registry.eviction import Eviction, EvictionReport
from mirror.registry.hosted import ContentMissing
from mirror.registry.routing import Approach, Route
from mirror.registry.uploads import UploadLimits, UploadPorts, Uploads
from tests.registry.hosting_bench import RENEW_EVERY, House, build
from tests.registry.promises import Held, Promises
from tests.registry.reading import bytes_of
from tests.registry.upload_bench import body
from tests.registry.workbench import HUB, Ground, eviction_ports, fills_ended
from tests.simulated_hub import Image, Index

Pushed = Image | Index

OURS = Repository(None, RepositoryName("nginx"))
THEIRS = Repository(None, RepositoryName("team/group/app"))
ELSEWHERE = Repository(None, RepositoryName("local/other/app"))
CACHED = Repository(HUB, RepositoryName("library/nginx"))
CACHED_TOO = Repository(HUB, RepositoryName("library/redis"))

GRACE = 4 * RENEW_EVERY
EXPIRY = GRACE / 2
AMOUNTS = Amounts(page=3, named=2)

ROUTES = {
    OURS: Route(OURS, Approach.MIRROR, fallback=CACHED),
    THEIRS: Route(THEIRS, Approach.MIRROR),
    ELSEWHERE: Route(ELSEWHERE, Approach.MIRROR),
    CACHED: Route(CACHED, Approach.DIRECT),
    CACHED_TOO: Route(CACHED_TOO, Approach.DIRECT),
}


@dataclass(slots=True)
class Begun:
    """An upload under way. ``at``: when its last bytes came, by a clock that nobody sets, and by
    the one that files have their times from.
    """

    repository: Repository
    id: str
    rest: bytes
    digest: Digest
    at: float
    wall_at: datetime


class Chronicle:
    """Every method is what a client, an operator or time does. Those that ask check the answer."""

    def __init__(self, ground: Ground, pool: tuple[Pushed, ...], ids: Iterator[int]) -> None:
        self.ground = ground
        self.pool = {parse_digest(each.digest): each for each in pool}
        self.ids = ids
        self.promises = Promises(ground.clock.monotonic)
        self.manifests: dict[Held, Pushed] = {}
        self.tags: dict[tuple[Repository, Tag], Digest] = {}
        self.begun: list[Begun] = []
        self.unsure: set[Held] = set()
        """Manifests that were pushed and deleted at once, or by who did not come to the end."""
        self.unsure_tags: set[tuple[Repository, Tag]] = set()
        self.jumped = False
        self.is_crowded = False
        """Whether others push at the same time, so that nobody knows whose tag came last."""

    async def start(self) -> None:
        self.house: House = build(ground=self.ground)
        bench = self.house.bench
        for name in ("library/nginx", "library/redis"):
            for pushed in self.pool.values():
                self.house.hub.push(name, f"t{pushed.digest[-4:]}", pushed)
        await self.house.hosting.names.load()
        ports = UploadPorts(
            store=bench.store,
            links=bench.facts,
            custody=bench.custody,
            room=bench.housekeeping,
            clock=bench.clock,
            new_id=lambda: f"{next(self.ids):032x}",
        )
        limits = UploadLimits(EXPIRY, timedelta(seconds=30), most_open=2)
        self.uploads = Uploads(ports, limits)
        bench.housekeeping.sweep_with(self.uploads.sweep)
        self.collection = Collection(
            CollectionPorts(
                facts=bench.facts,
                store=bench.store,
                custody=bench.custody,
                clock=bench.clock,
                statistics=bench.statistics,
                flush=bench.housekeeping.flush,
                is_used=lambda digest: Use(None, digest) in bench.usage,
                freed=bench.housekeeping.collected,
            ),
            GRACE,
            AMOUNTS,
        )

    async def stop(self) -> None:
        await fills_ended()
        self.uploads.close()
        await self.house.close()

    async def restart(self) -> None:
        with suppress(Exception):
            await self.house.bench.housekeeping.flush()
        await self.stop()
        if self.jumped:
            # What the clock said before is not known to the next process.
            self.promises.until.clear()
            self.jumped = False
        await self.start()

    # What clients push.

    async def push(
        self, repository: Repository, pushed: Pushed, tag: Tag | None, seed: int
    ) -> None:
        """All of it, each blob in the way that chance chooses."""
        random = Random(seed)  # noqa: S311 - it is to be repeated, not to be secret
        for image in _images(pushed):
            for content in image.blobs.values():
                await self.push_blob(repository, content, random.randrange(1 << 16))
        for child in _below(pushed):
            await self.push_manifest(repository, child, None)
        await self.push_manifest(repository, pushed, tag)

    async def push_blob(self, repository: Repository, content: bytes, seed: int) -> None:
        """Unless it is said to be there, or can be mounted."""
        random = Random(seed)  # noqa: S311 - as above
        digest = digest_of(content)
        if random.random() < 0.6 and await self.head(repository, digest):
            return
        lenders = [each for each in ROUTES if each != repository]
        if random.random() < 0.3 and await self.mount(repository, digest, random.choice(lenders)):
            return
        with self.promises.making((repository, digest), GRACE) as answers:
            cut = random.randrange(len(content) + 1)
            if random.random() < 0.5:
                await self.uploads.push(repository, body(content), digest)
            else:
                upload = await self.uploads.start(repository)
                await self.uploads.append(repository, upload.id, body(content[:cut]))
                await self.uploads.finish(repository, upload.id, body(content[cut:]), digest)
            answers.append(True)

    async def head(self, repository: Repository, digest: Digest) -> bool:
        key = (repository, digest)
        promised, before = self.is_sure_of(key), self.promises.withdrawn[key]
        with self.promises.making(key, GRACE - RENEW_EVERY) as answers:
            try:
                answer = await self.house.hosting.blobs.head(ROUTES[repository], digest)
            except BlobUnknown:
                was_withdrawn = self.promises.withdrawn[key] != before
                assert not promised or was_withdrawn or not self.is_sure_of(key), "it was promised"
                return False
            if answer.repository == repository:
                answers.append(True)
        return answer.repository == repository

    async def mount(self, repository: Repository, digest: Digest, lender: Repository) -> bool:
        with self.promises.making((repository, digest), GRACE) as answers:
            loan = await self.uploads.mount(repository, digest, [lender])
            if loan is not None:
                answers.append(True)
        return loan is not None

    async def push_manifest(self, repository: Repository, pushed: Pushed, tag: Tag | None) -> None:
        """Only what was never promised, or taken back, may be missing."""
        key = (repository, parse_digest(pushed.digest))
        needed = {parse_digest(each) for each in _needs(pushed)}
        sure = {one: self.promises.withdrawn[repository, one] for one in needed}
        sure = {one: count for one, count in sure.items() if self.is_sure_of((repository, one))}
        before = self.promises.withdrawn[key]
        try:
            await self.house.put(repository, tag.value if tag else None, pushed)
        except ContentMissing as refused:
            for missing in map(_missing, refused.errors):
                was_withdrawn = self.promises.withdrawn[repository, missing] != sure.get(missing)
                is_sure = missing in sure and self.is_sure_of((repository, missing))
                assert not is_sure or was_withdrawn, f"{missing} was promised"
            return
        except asyncio.CancelledError:
            self._doubt(key, tag)
            raise
        if self.promises.withdrawn[key] != before or before % 2:
            self._doubt(key, tag)
            return
        self.manifests[key] = pushed
        if tag is not None:
            self.tags[repository, tag] = key[1]
            if self.is_crowded:
                self.unsure_tags.add((repository, tag))

    async def begin_upload(self, repository: Repository, content: bytes, cut: int) -> None:
        upload = await self.uploads.start(repository)
        await self.uploads.append(repository, upload.id, body(content[:cut]))
        clock, digest = self.ground.clock, digest_of(content)
        times = clock.monotonic(), clock.now()
        self.begun.append(Begun(repository, upload.id, content[cut:], digest, *times))

    async def finish_upload(self, begun: Begun) -> None:
        with self.promises.making((begun.repository, begun.digest), GRACE) as answers:
            try:
                rest = body(begun.rest)
                await self.uploads.finish(begun.repository, begun.id, rest, begun.digest)
            except BlobUploadUnknown:
                idle = self.ground.clock.monotonic() - begun.at
                leap = self.ground.clock.now() - begun.wall_at
                assert max(idle, leap.total_seconds()) > EXPIRY.total_seconds(), "too early"
            else:
                answers.append(True)

    # What they delete.

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        key = (repository, digest)
        self.unsure_tags |= {place for place, at in self.tags.items() if (place[0], at) == key}
        self.unsure.add(key)
        with self.promises.withdrawing(key), suppress(ManifestUnknown, Denied):
            await self.house.hosting.hosted.delete_manifest(repository, digest)

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        self.unsure_tags.add((repository, tag))
        with suppress(ManifestUnknown):
            await self.house.hosting.hosted.delete_tag(repository, tag)

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        with self.promises.withdrawing((repository, digest)), suppress(BlobUnknown, Denied):
            await self.house.hosting.hosted.delete_blob(repository, digest)

    # What they pull.

    async def pull(self, repository: Repository, pushed: Pushed) -> None:
        """From the hub, which has everything."""
        route, hosting = ROUTES[repository], self.house.hosting
        answer = await hosting.manifests.get(route, parse_digest(pushed.digest))
        assert answer.content == pushed.content
        for image in _images(pushed):
            assert (await hosting.manifests.get(route, parse_digest(image.digest))).content
            for digest, content in image.blobs.items():
                assert await read(await hosting.blobs.get(route, parse_digest(digest))) == content

    async def pull_pushed(self, key: Held) -> None:
        """Something that a push was acknowledged for, unless it was deleted."""
        repository, digest = key
        pushed, hosting = self.manifests[key], self.house.hosting
        answer = await hosting.manifests.get(ROUTES[repository], digest)
        assert answer.content == pushed.content
        assert answer.repository == repository
        for child in _below(pushed):
            if (repository, parse_digest(child.digest)) in self.manifests:
                await self.pull_pushed((repository, parse_digest(child.digest)))
        if isinstance(pushed, Image):
            for name, content in pushed.blobs.items():
                blob = await hosting.blobs.get(ROUTES[repository], parse_digest(name))
                assert await read(blob) == content

    # What the server and time do.

    async def collect(self, *, dry_run: bool = False) -> CollectionReport:
        return await self.collection.run(dry_run=dry_run)

    async def evict(self, needed: int) -> EvictionReport:
        eviction = Eviction(eviction_ports(self.house.bench))
        return await eviction.run(needed, "the test", dry_run=False)

    async def sweep(self) -> None:
        await self.house.bench.housekeeping.sweep()

    def jump(self, span: timedelta) -> None:
        self.ground.clock.jump(span)
        self.jumped = True

    async def together(self, works: list[Coroutine[Any, Any, Any]], stop_after: int | None) -> None:
        """At once; all are broken off after so many turns, if that is given."""
        self.is_crowded = True
        tasks = [asyncio.ensure_future(work) for work in works]
        if stop_after is not None:
            for _ in range(stop_after):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
        for answer in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(answer, BaseException) and not isinstance(answer, asyncio.CancelledError):
                raise answer
        await others_ended()
        self.is_crowded = False

    def is_sure_of(self, key: Held) -> bool:
        """Whether a blob was promised, or a manifest needs it, or it is a manifest."""
        repository, digest = key
        if self.promises.holds(key):
            return True
        return (key in self.manifests and key not in self.unsure and digest in self.pool) or any(
            str(digest) in pushed.blobs
            for (owner, own), pushed in self.manifests.items()
            if owner == repository and isinstance(pushed, Image) and (owner, own) not in self.unsure
        )

    def _doubt(self, key: Held, tag: Tag | None) -> None:
        self.unsure.add(key)
        if tag is not None:
            self.unsure_tags.add((key[0], tag))

    async def make_sure(self) -> None:
        """Take for true what there is of that which may be or not be. It has to be whole."""
        for key in self.unsure:
            self.manifests.pop(key, None)
            if await self.house.bench.facts.get_manifest(*key) is not None:
                self.manifests[key] = self.pool[key[1]]
        for repository, tag in self.unsure_tags:
            self.tags.pop((repository, tag), None)
            record = await self.house.bench.facts.get_tag(repository, tag)
            if record is not None:
                assert (repository, record.descriptor.digest) in self.manifests, "a tag of nothing"
                self.tags[repository, tag] = record.descriptor.digest
        self.unsure.clear()
        self.unsure_tags.clear()


async def others_ended() -> None:
    """Writes and downloads go on without who wanted them."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        _, late = await asyncio.wait(others, timeout=20)
        assert not late, late


async def read(answer: BlobAnswer) -> bytes:
    assert answer.blob is not None
    try:
        return b"".join([bytes_of(p) async for p in answer.blob.pieces(0, answer.size)])
    finally:
        answer.blob.close()


def _missing(error: ManifestBlobUnknown) -> Digest:
    assert isinstance(error.detail, dict)
    return parse_digest(error.detail["digest"])


def _images(pushed: Pushed) -> list[Image]:
    if isinstance(pushed, Image):
        return [pushed]
    return [image for child in pushed.images for image in _images(child)]


def _below(pushed: Pushed) -> tuple[Pushed, ...]:
    return () if isinstance(pushed, Image) else pushed.images


def all_of(pushed: Pushed) -> list[str]:
    """Its own bytes and the blobs it needs."""
    return [pushed.digest, *(pushed.blobs if isinstance(pushed, Image) else ())]


def _needs(pushed: Pushed) -> list[str]:
    return list(pushed.blobs) if isinstance(pushed, Image) else [c.digest for c in pushed.images]
