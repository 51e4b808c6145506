"""Manifests of proxied repositories, by tag and by digest.

A digest is immutable and never asked about again. A tag is fresh for a while, then confirmed by a
HEAD, which costs no quota; what is held is served whatever the upstream does.
"""

import asyncio
import functools
import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from mirror.flight import SingleFlight
from mirror.oci.digest import Digest
from mirror.oci.errors import ManifestUnknown
from mirror.oci.manifest import Descriptor, Manifest
from mirror.oci.media_type import is_schema1
from mirror.oci.reference import Tag
from mirror.ports.clock import Clock
from mirror.ports.metadata import MetadataError, TagRecord, TagStore
from mirror.ports.repository import Repository
from mirror.ports.upstream import UpstreamDenied, UpstreamError, UpstreamInvalid
from mirror.registry import freshness
from mirror.registry.age import ago
from mirror.registry.answer import Handling, ManifestAnswer
from mirror.registry.held import HeldManifests
from mirror.registry.moves import Moves, TellMove, tell_nobody
from mirror.registry.proxied import (
    DeletedTags,
    ProxiedRegistries,
    ProxiedRegistry,
    stopping,
)
from mirror.registry.refusal import refuse
from mirror.registry.routing import Route, upstream_route
from mirror.registry.statistics import Result, Statistics

log = logging.getLogger(__name__)

T = TypeVar("T")

ABSENCE = 15.0
"""Seconds for which an upstream's 404, 401 or 403 is believed."""

MOST_ABSENT = 10_000


@dataclass(frozen=True, slots=True)
class ManifestPorts:
    """What the use case works with. A tag that is held waits ``stale_after`` for its upstream.

    ``moved`` hears of every tag that names something else than before.
    """

    held: HeldManifests
    tags: TagStore
    registries: ProxiedRegistries
    clock: Clock
    statistics: Statistics
    stale_after: timedelta
    moved: TellMove = tell_nobody


@dataclass(frozen=True, slots=True)
class _Checked:
    """What the upstream said of a tag, and the manifest if it is here by now.

    ``downloaded``: it was not, and came along.
    """

    record: TagRecord
    manifest: Manifest | None
    downloaded: bool


class Manifests:
    """Resolve and get, for every client at once: one upstream request however many ask."""

    def __init__(self, ports: ManifestPorts) -> None:
        self._ports = ports
        self._checks: SingleFlight[tuple[Repository, Tag], _Checked | None] = SingleFlight(stopping)
        self._fetches: SingleFlight[tuple[Repository, Digest], Manifest | None] = SingleFlight(
            stopping
        )
        self._absent = Absences(ports.clock)
        self._moves = Moves(ports.moved)

    def peek(self, route: Route, reference: Tag | Digest) -> ManifestAnswer | None:
        """What can be answered from memory without waiting for anything."""
        repository = route.repository if route.fallback is None else route.fallback
        if isinstance(reference, Digest):
            manifest = self._ports.held.peek(repository, reference)
            return None if manifest is None else _answer(repository, manifest, Handling(Result.HIT))
        record = self._ports.held.peek_tag(repository, reference)
        if record is None:
            return None
        ttl = self._ttl(repository, reference, record)
        manifest = self._ports.held.peek(repository, record.descriptor.digest) if ttl else None
        if manifest is None:
            return None
        return _answer(repository, manifest, Handling(Result.HIT, ttl=ttl))

    async def get(self, route: Route, digest: Digest) -> ManifestAnswer:
        """The manifest of a digest. Raises OCIError when it cannot be served."""
        route = upstream_route(route)
        repository = route.repository
        held = await self._ports.held.get(repository, digest)
        if held is not None:
            return _answer(repository, held, Handling(Result.HIT))
        try:
            manifest = await self._fetch(repository, digest)
        except UpstreamError as error:
            raise refuse("manifest", route.approach, error) from error
        if manifest is None:
            raise ManifestUnknown(detail={"digest": str(digest)})
        return _answer(repository, manifest, Handling(Result.MISS))

    async def resolve(self, route: Route, tag: Tag, *, content: bool) -> ManifestAnswer:
        """What a tag points at, with the manifest itself when ``content`` is wanted.

        Raises OCIError when it cannot be served.
        """
        route = upstream_route(route)
        repository = route.repository
        record = await self._ports.tags.get_tag(repository, tag)
        if record is None:
            return await self._resolve_cold(route, tag, None, content=content)
        ttl = self._ttl(repository, tag, record)
        held = await self._ports.held.get(repository, record.descriptor.digest)
        if held is None and ttl and not (content or self._ports.registries.offline):
            return ManifestAnswer(repository, record.descriptor, None, Handling(Result.HIT, ttl))
        if held is None:
            return await self._resolve_cold(route, tag, record if ttl else None, content=content)
        if ttl:
            return _answer(repository, held, Handling(Result.HIT, ttl=ttl))
        return await self._resolve_held(repository, tag, record, held)

    async def confirm(self, repository: Repository, tag: Tag) -> TagRecord | None:
        """Ask the upstream now. ``None``: it has no such tag. Raises UpstreamError."""
        checked = await self._confirm(repository, tag)
        return None if checked is None else checked.record

    async def close(self) -> None:
        await self._checks.close()
        await self._fetches.close()
        await self._ports.held.close()

    async def _resolve_cold(
        self, route: Route, tag: Tag, fresh: TagRecord | None, *, content: bool
    ) -> ManifestAnswer:
        """Nothing to fall back on: the client waits for the upstream and hears what it says.

        ``fresh`` is what a HEAD a moment ago brought: only the manifest itself is missing.
        """
        repository = route.repository
        try:
            if fresh is None:
                checked = await self._confirm(repository, tag)
            else:
                checked = _Checked(fresh, None, downloaded=False)
            if checked is None:
                raise _unknown(repository, tag)
            manifest, result = checked.manifest, Result.REVALIDATED
            if manifest is None or checked.downloaded:
                result = Result.MISS
            if manifest is None and (content or self._ports.registries.offline):
                manifest = await self._fetch(repository, checked.record.descriptor.digest)
        except UpstreamError as error:
            raise refuse("manifest", route.approach, error) from error
        if manifest is None and content:
            if fresh is not None:
                # What the tag was said to name is gone: it may name something else by now.
                return await self._resolve_cold(route, tag, None, content=content)
            raise _unknown(repository, tag)
        ttl = self._ttl(repository, tag, checked.record)
        handling = Handling(result, ttl=ttl, stored=manifest is not None)
        if manifest is not None:
            return _answer(repository, manifest, handling)
        return ManifestAnswer(repository, checked.record.descriptor, None, handling)

    async def _resolve_held(
        self, repository: Repository, tag: Tag, record: TagRecord, held: Manifest
    ) -> ManifestAnswer:
        """Ask the upstream, and serve the copy when it is slow or in trouble."""
        if self._ports.registries.offline:
            return self._stale(repository, record, held, "this mirror is offline")
        try:
            async with asyncio.timeout(self._ports.stale_after.total_seconds()):
                checked = await self._confirm(repository, tag)
        except TimeoutError:
            return self._stale(repository, record, held, "the upstream is slow")
        except UpstreamError as error:
            return self._stale(repository, record, held, str(error))
        if checked is None:
            return await self._deleted(repository, tag, record, held)
        manifest = checked.manifest
        if manifest is None:
            if checked.record.descriptor.digest != held.digest:
                return self._stale(repository, record, held, "the new manifest is not here yet")
            manifest = held
        result = Result.MISS if checked.downloaded else Result.REVALIDATED
        ttl = self._ttl(repository, tag, checked.record)
        return _answer(repository, manifest, Handling(result, ttl=ttl))

    async def _deleted(
        self, repository: Repository, tag: Tag, record: TagRecord, held: Manifest
    ) -> ManifestAnswer:
        if self._registry(repository).deleted_tags is DeletedTags.KEEP:
            return self._stale(repository, record, held, "the upstream has deleted this tag")
        await _record(self._ports.tags.delete_tag(repository, tag))
        raise _unknown(repository, tag, "the upstream has deleted this tag")

    def _stale(
        self, repository: Repository, record: TagRecord, held: Manifest, reason: str
    ) -> ManifestAnswer:
        age = self._ports.clock.now() - record.confirmed_at
        detail = f"{reason}; this copy was confirmed {ago(age)} ago"
        return _answer(repository, held, Handling(Result.STALE, detail=detail))

    async def _confirm(self, repository: Repository, tag: Tag) -> _Checked | None:
        return await self._checks.run(
            (repository, tag), functools.partial(self._check, repository, tag)
        )

    async def _check(self, repository: Repository, tag: Tag) -> _Checked | None:
        """HEAD the tag. When it moved away from a manifest that is held, fetch the new one in the
        same breath: until it is here, the old one is all there is to serve.
        """
        key = (repository, str(tag))
        if self._absent.holds(key):
            return None
        upstream = self._online(repository).upstream
        found = await self._absent.heed(key, upstream.resolve(repository.name, tag))
        if found is None:
            return None
        descriptor = found.descriptor if isinstance(found, Manifest) else found
        before = await self._ports.tags.get_tag(repository, tag)
        is_told = await _record(self._moves.look(repository, tag, before, descriptor))
        manifest = await self._ports.held.get(repository, descriptor.digest)
        downloaded = False
        if manifest is None:
            manifest = await self._bring(repository, tag, before, found)
            downloaded = manifest is not None
        record = TagRecord(descriptor, self._ports.clock.now())
        # Of schema 1 nothing is kept that a record could lead to. Without the old record nobody
        # would ever find again that the tag has moved.
        if is_told and not is_schema1(descriptor.media_type):
            await _record(self._ports.tags.put_tag(repository, tag, record))
        return _Checked(record, manifest, downloaded)

    async def _bring(
        self,
        repository: Repository,
        tag: Tag,
        before: TagRecord | None,
        found: Descriptor | Manifest,
    ) -> Manifest | None:
        """The manifest that a tag now names and that is not held; ``None`` when it can wait."""
        if isinstance(found, Manifest):
            await self._keep(repository, found)
            return found
        if before is None or before.descriptor.digest == found.digest:
            return None
        if await self._ports.held.get(repository, before.descriptor.digest) is None:
            return None
        manifest = await self._fetch(repository, found.digest)
        if manifest is None:
            raise UpstreamInvalid(f"the upstream does not have {found.digest}, which {tag} names")
        return manifest

    async def _fetch(self, repository: Repository, digest: Digest) -> Manifest | None:
        return await self._fetches.run(
            (repository, digest), functools.partial(self._get, repository, digest)
        )

    async def _get(self, repository: Repository, digest: Digest) -> Manifest | None:
        """From memory or disk when a flight before this one brought it, else by a GET."""
        held = await self._ports.held.get(repository, digest)
        if held is not None:
            return held
        key = (repository, str(digest))
        if self._absent.holds(key):
            return None
        upstream = self._online(repository).upstream
        manifest = await self._absent.heed(key, upstream.get_manifest(repository.name, digest))
        if manifest is None:
            return None
        await self._keep(repository, manifest)
        return manifest

    async def _keep(self, repository: Repository, manifest: Manifest) -> None:
        self._ports.statistics.fetched(repository.upstream or "", "manifest", manifest.size)
        await self._ports.held.keep(repository, manifest)

    def _online(self, repository: Repository) -> ProxiedRegistry:
        return self._ports.registries.online(repository.upstream or "")

    def _registry(self, repository: Repository) -> ProxiedRegistry:
        return self._ports.registries[repository.upstream or ""]

    def _ttl(self, repository: Repository, tag: Tag, record: TagRecord) -> int:
        """Whole seconds the tag stays fresh, zero when it must be confirmed."""
        lifetime = self._registry(repository).freshness.lifetime(repository.name, tag)
        left = freshness.remaining(record.confirmed_at, lifetime, self._ports.clock.now())
        return -(-left // timedelta(seconds=1))


class Absences:
    """What upstreams lately said they do not have, or not for us, for ABSENCE seconds each.

    Docker Hub says the latter of every repository that does not exist.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[tuple[Repository, str], tuple[float, UpstreamDenied | None]] = {}

    async def heed(self, key: tuple[Repository, str], asking: Awaitable[T]) -> T:
        """The answer; remembered if it is one of these. Raises UpstreamError."""
        try:
            answer = await asking
        except UpstreamDenied as denied:
            self.add(key, denied)
            raise
        if answer is None:
            self.add(key)
        return answer

    def add(self, key: tuple[Repository, str], denied: UpstreamDenied | None = None) -> None:
        if len(self._known) >= MOST_ABSENT:
            # Oldest first, because a dictionary keeps the order of insertion.
            del self._known[next(iter(self._known))]
        self._known[key] = self._clock.monotonic() + ABSENCE, denied

    def holds(self, key: tuple[Repository, str]) -> bool:
        """Whether it is known not to be there. Raises UpstreamDenied when it is not for us."""
        until, denied = self._known.get(key, (None, None))
        if until is None:
            return False
        if self._clock.monotonic() >= until:
            del self._known[key]
            return False
        if denied is not None:
            raise UpstreamDenied(str(denied))
        return True


async def _record(writing: Awaitable[object]) -> bool:
    """A fact that cannot be written costs the fact, not the answer. Whether it was."""
    try:
        await writing
    except MetadataError as error:
        log.warning("a fact about a tag could not be recorded: %s", error)
        return False
    return True


def _unknown(repository: Repository, tag: Tag, message: str | None = None) -> ManifestUnknown:
    return ManifestUnknown(message, detail={"name": str(repository.name), "tag": tag.value})


def _answer(repository: Repository, manifest: Manifest, handling: Handling) -> ManifestAnswer:
    return ManifestAnswer(repository, manifest.descriptor, manifest.content, handling)
