"""What happened in the registry, and the queues in which it waits for those who want to hear of it.

An endpoint is a webhook by its configured name. Times are aware UTC datetimes. How an event looks
on the wire is not known here, except that it has what the notifications of the Docker registry have
(https://distribution.github.io/distribution/about/notifications/).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Literal, Protocol

from mirror.oci.digest import Digest
from mirror.oci.reference import Tag
from mirror.ports.repository import Repository


class EventAction(Enum):
    """``MOVED`` is ours: an upstream's tag names another manifest than it did before."""

    PULL = "pull"
    PUSH = "push"
    MOUNT = "mount"
    DELETE = "delete"
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class Target:
    """What an event is about; what does not apply is ``None``. ``size`` in bytes.

    Of what was deleted only the digest or the tag is told. ``lender`` is the repository that a
    blob was mounted from, ``previous`` what a tag that moved named before.
    """

    repository: Repository
    kind: Literal["manifest", "blob"]
    digest: Digest | None = None
    media_type: str | None = None
    size: int | None = None
    tag: Tag | None = None
    lender: Repository | None = None
    previous: Digest | None = None


@dataclass(frozen=True, slots=True)
class Asker:
    """The request that led to an event. ``host`` and ``agent`` are what its headers said."""

    id: str
    address: str
    host: str
    method: str
    agent: str


@dataclass(frozen=True, slots=True)
class Source:
    """The server that tells. ``instance`` is another one after each start."""

    address: str
    instance: str


@dataclass(frozen=True, slots=True)
class Event:
    """``id`` is the same however often an event is told. ``asker`` is ``None`` where the server
    found out by itself.
    """

    id: str
    happened_at: datetime
    action: EventAction
    target: Target
    asker: Asker | None
    source: Source


@dataclass(frozen=True, slots=True)
class Addressed:
    """An event for one endpoint."""

    endpoint: str
    event: Event


@dataclass(frozen=True, slots=True)
class QueuedEvent:
    """``number`` is its place in the queue of its endpoint: later ones have greater numbers."""

    number: int
    event: Event


@dataclass(frozen=True, slots=True)
class Standing:
    """How it goes with an endpoint. ``failures`` in a row, and when to try again after them."""

    queued: int
    failures: int
    retry_at: datetime | None


class EventQueue(Protocol):
    """One queue for each endpoint, first in, first out. Each call is one transaction, durable on
    return. Raises MetadataError.
    """

    async def enqueue(
        self, events: Sequence[Addressed], capacity: Mapping[str, int], queued_at: datetime
    ) -> Mapping[str, int]:
        """Add events, in their order. Where more than ``capacity`` wait then, the oldest go.

        How many went, of endpoints that lost any.
        """

    async def take(self, endpoint: str, limit: int) -> Sequence[QueuedEvent]:
        """The oldest, which stay in the queue."""

    async def done(self, endpoint: str, through: int) -> None:
        """Remove those up to this number; the endpoint does well."""

    async def postpone(self, endpoint: str, failures: int, retry_at: datetime) -> None:
        """It did not take what it was sent."""

    async def expire(self, endpoint: str, queued_before: datetime) -> int:
        """Remove those that wait longer, up to the first that does not; how many."""

    async def forget(self, endpoint: str) -> int:
        """Remove its queue and how it stood; how many events that were."""

    async def standings(self) -> Mapping[str, Standing]:
        """Of every endpoint that ever had an event and was not forgotten."""


class DeliveryFailed(Exception):
    """Not delivered, as far as can be told. The message holds neither addresses nor secrets.

    ``retry_after`` is the seconds that the endpoint asked to be left alone, if it did.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Courier(Protocol):
    """Brings events to one endpoint."""

    async def deliver(self, events: Sequence[Event]) -> None:
        """All of them, in one message. Returns once they were taken; raises DeliveryFailed."""

    async def close(self) -> None:
        """Idempotent."""
