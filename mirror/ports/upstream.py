"""A remote registry, read only. Speaks OCI; knows nothing of caching.

``None`` means that the upstream answered and the content is not there. An UpstreamError means
that it could not be told.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor, Manifest
from mirror.oci.reference import RepositoryName, Tag
from mirror.oci.referrers import Referrer


class UpstreamError(Exception):
    """The upstream could not answer. Never means "not there".

    The message is for operators and clients: it names the upstream and the trouble and holds no
    credential, no query and no text of the upstream's longer than a line. ``retry_after`` is in how
    many seconds it may be asked again, ``None`` where nothing is known of that.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UpstreamUnreachable(UpstreamError):
    """No answer: refused, timed out, no such host, TLS failure, connection reset."""


class UpstreamDenied(UpstreamError):
    """401 or 403 after authentication was tried: private or missing, or our login is wrong."""


class UpstreamThrottled(UpstreamError):
    """429."""


class UpstreamFailed(UpstreamError):
    """The upstream answered with an error of its own (5xx)."""


class UpstreamInvalid(UpstreamError):
    """The answer is not what a registry sends: wrong digest, HTML, forbidden redirect or realm."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What the upstream last said of its pull limit.

    ``source`` is whom it counts (an address or an account), as it said.
    https://docs.docker.com/docker-hub/usage/pulls/
    """

    limit: int
    remaining: int
    window_seconds: int
    source: str | None
    observed_at: datetime


@dataclass(frozen=True, slots=True)
class UpstreamStatus:
    """How an upstream does.

    ``reachable``: nothing is known to be wrong, so content that goes can be fetched again.
    ``state``: ``ok``, ``throttled`` (told to wait) or ``failing`` (the last attempts failed).
    ``reason`` and ``retry_at`` explain the last two. ``quota`` is ``None`` until seen.
    """

    state: Literal["ok", "throttled", "failing"]
    reason: str | None
    retry_at: datetime | None
    requests: int
    errors: int
    bytes: int
    tokens: int
    quota: Quota | None

    @property
    def reachable(self) -> bool:
        return self.state == "ok" and (self.quota is None or self.quota.remaining > 0)


class RemoteBlob(Protocol):
    """An open download of a blob or of the rest of it."""

    @property
    def size(self) -> int | None:
        """Bytes of the whole blob, ``None`` when the upstream did not say."""

    @property
    def start(self) -> int:
        """The position of the first byte that ``chunks`` yields: the one asked for."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The bytes as they come. Raises UpstreamError when they stop coming early."""


class Upstream(Protocol):
    """One configured registry. Retries what is worth retrying before it raises."""

    async def resolve(self, name: RepositoryName, tag: Tag) -> Descriptor | Manifest | None:
        """What the tag points at, by HEAD, which costs no quota.

        A registry whose HEAD does not name digest, type and length is asked by GET, and the
        manifest is returned so that nobody asks again.
        """

    async def get_manifest(self, name: RepositoryName, digest: Digest) -> Manifest | None:
        """The manifest, verified against the digest."""

    async def head_blob(self, name: RepositoryName, digest: Digest) -> int | None:
        """The size of the blob in bytes, without fetching it."""

    def open_blob(
        self, name: RepositoryName, digest: Digest, start: int = 0, stop: int | None = None
    ) -> AbstractAsyncContextManager[RemoteBlob | None]:
        """The bytes ``start`` to ``stop`` (half open; ``None``: to the end), not yet verified.

        Raises on entry when the upstream does not answer within its deadlines. An upstream that
        ignores ranges is read and discarded up to ``start``.
        """

    async def list_tags(self, name: RepositoryName) -> tuple[Tag, ...] | None:
        """Every tag of the repository, on however many pages it lists them; in its order."""

    async def list_referrers(
        self, name: RepositoryName, digest: Digest
    ) -> tuple[Referrer, ...] | None:
        """Every manifest whose subject the digest is. ``None``: the registry does not list them."""

    def status(self) -> UpstreamStatus:
        """No I/O."""

    async def close(self) -> None:
        """Idempotent."""
