"""The Upstream port over HTTP: what each question is, as a request, and what its answer means.

How a request is sent, and sent again, is the business of the other modules.
"""

import asyncio
import random as system_random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from yarl import URL

from mirror.oci.byte_range import range_header
from mirror.oci.challenge import pull_scope
from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor, Manifest
from mirror.oci.media_type import ACCEPTED
from mirror.oci.reference import Reference, RepositoryName, Tag
from mirror.oci.referrers import Referrer
from mirror.ports.clock import Clock
from mirror.ports.upstream import RemoteBlob, UpstreamStatus
from mirror.upstream.assembly import assemble
from mirror.upstream.blobs import BlobReader
from mirror.upstream.download import Span
from mirror.upstream.lists import Lists
from mirror.upstream.manifests import ManifestReader, Unclear
from mirror.upstream.quota import is_current
from mirror.upstream.redirect import Wish
from mirror.upstream.resolver import Lookup, system_lookup
from mirror.upstream.retry import Pauses
from mirror.upstream.settings import UpstreamSettings

_ANYTHING = "*/*"
_FIRST_BYTE = Span(0, 1)


class HttpUpstream:
    """One registry. Nothing is sent before the first question.

    ``random`` (between 0 and 1) and ``sleep`` are for the pauses between attempts, ``lookup``
    resolves names in a thread.
    """

    def __init__(
        self,
        settings: UpstreamSettings,
        clock: Clock,
        random: Callable[[], float] = system_random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        lookup: Lookup = system_lookup,
    ) -> None:
        """Raises ValueError for a ``url`` or ``realms`` that make no sense."""
        parts = assemble(settings, clock, Pauses(random, sleep), lookup)
        self._base = parts.base
        self._clock = clock
        self._connection = parts.connection
        self._registry = parts.registry
        self._bearer = parts.bearer
        self._breaker = parts.breaker
        self._login = parts.login
        self._tally = parts.tally
        self._manifests = ManifestReader(parts.connection, parts.verdict)
        self._blobs = BlobReader(parts.connection, parts.verdict, parts.tally)
        self._lists = Lists(parts.base, parts.registry, parts.connection, parts.verdict)

    async def resolve(self, name: RepositoryName, tag: Tag) -> Descriptor | Manifest | None:
        wish = Wish("HEAD", self._url(name, "manifests", tag), ACCEPTED)
        described = await self._registry.run(wish, pull_scope(name), self._manifests.described)
        if not isinstance(described, Unclear):
            return described
        return await self._get_manifest(name, tag, None)

    async def get_manifest(self, name: RepositoryName, digest: Digest) -> Manifest | None:
        return await self._get_manifest(name, digest, digest)

    async def head_blob(self, name: RepositoryName, digest: Digest) -> int | None:
        # What a HEAD is redirected to is often signed for GET only, so it is not followed.
        wish = Wish("HEAD", self._url(name, "blobs", digest), _ANYTHING, leaves=False)
        size = await self._registry.run(wish, pull_scope(name), self._blobs.described)
        if not isinstance(size, Unclear):
            return size
        first_byte = self._blob_wish(name, digest, _FIRST_BYTE)
        return await self._registry.run(first_byte, pull_scope(name), self._blobs.measured)

    @asynccontextmanager
    async def open_blob(
        self, name: RepositoryName, digest: Digest, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[RemoteBlob | None]:
        span = Span(start, stop)
        wish = self._blob_wish(name, digest, span)
        opened = await self._registry.run(
            wish, pull_scope(name), lambda answer: self._blobs.opened(answer, span)
        )
        try:
            yield opened.download
        finally:
            opened.answer.close()

    async def list_tags(self, name: RepositoryName) -> tuple[Tag, ...] | None:
        return await self._lists.tags(name)

    async def list_referrers(
        self, name: RepositoryName, digest: Digest
    ) -> tuple[Referrer, ...] | None:
        return await self._lists.referrers(name, digest)

    def status(self) -> UpstreamStatus:
        now, monotonic = self._clock.now(), self._clock.monotonic()
        condition = self._breaker.condition
        quota = self._breaker.quota
        until = condition.retry_at
        return UpstreamStatus(
            state=condition.state,
            reason=str(condition.cause) if condition.cause else self._login.trouble,
            retry_at=None if until is None else now + timedelta(seconds=until - monotonic),
            requests=self._tally.requests,
            errors=self._tally.errors,
            bytes=self._tally.bytes,
            tokens=self._tally.tokens,
            quota=quota if quota and is_current(quota, now) else None,
        )

    async def close(self) -> None:
        await self._bearer.close()
        await self._connection.close()

    async def _get_manifest(
        self, name: RepositoryName, reference: Reference, expected: Digest | None
    ) -> Manifest | None:
        wish = Wish("GET", self._url(name, "manifests", reference), ACCEPTED, is_pull=True)
        return await self._registry.run(
            wish, pull_scope(name), lambda answer: self._manifests.received(answer, expected)
        )

    def _blob_wish(self, name: RepositoryName, digest: Digest, span: Span) -> Wish:
        byte_range = None if span.is_whole else range_header(span.start, span.stop)
        return Wish("GET", self._url(name, "blobs", digest), _ANYTHING, byte_range)

    def _url(self, name: RepositoryName, kind: str, reference: Reference) -> URL:
        return URL(f"{self._base}{name}/{kind}/{reference}", encoded=True)
