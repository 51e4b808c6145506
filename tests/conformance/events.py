"""The adapters that the suite of event queues is run over, and events to put into them."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from mirror.metadata.events import SqlEventQueue
from mirror.metadata.memory_events import MemoryEventQueue
from mirror.metadata.sqlite_database import open_sqlite_database
from mirror.oci.digest import digest_of
from mirror.oci.media_type import OCI_MANIFEST
from mirror.oci.reference import RepositoryName, Tag
from mirror.ports.events import Addressed, Asker, Event, EventAction, EventQueue, Source, Target
from mirror.ports.repository import Repository
from tests.conformance.metadata import at

CI = "ci.example.com"
AUDIT = "audit"
ROOMY = {CI: 1000, AUDIT: 1000}

MOVED = Event(
    id="0f5c1f3e-moved",
    happened_at=at(1),
    action=EventAction.MOVED,
    target=Target(
        repository=Repository("docker.io", RepositoryName("library/nginx")),
        kind="manifest",
        digest=digest_of(b"new"),
        media_type=OCI_MANIFEST,
        size=7,
        tag=Tag("1.27"),
        previous=digest_of(b"old", "sha512"),
    ),
    asker=None,
    source=Source("host:5000", "one"),
)
MOUNTED = Event(
    id="0f5c1f3e-mounted",
    happened_at=at(2.5),
    action=EventAction.MOUNT,
    target=Target(
        repository=Repository(None, RepositoryName("team/app")),
        kind="blob",
        digest=digest_of(b"layer"),
        media_type="application/octet-stream",
        size=5,
        lender=Repository(None, RepositoryName("base")),
    ),
    asker=Asker("r1", "192.0.2.7", "mirror.lan:5000", "POST", 'curl/8 "\u2603'),
    source=Source("host:5000", "one"),
)


def event(name: str) -> Event:
    """Whichever; different names are different events."""
    target = Target(
        Repository(None, RepositoryName("app")), "manifest", digest_of(name.encode()), tag=Tag("v1")
    )
    return Event(name, at(0), EventAction.DELETE, target, None, Source("host", "one"))


def to(endpoint: str, *names: str) -> list[Addressed]:
    return [Addressed(endpoint, event(name)) for name in names]


async def enqueue(queue: EventQueue, endpoint: str, *names: str, seconds: float = 0) -> None:
    assert await queue.enqueue(to(endpoint, *names), ROOMY, at(seconds)) == {}


async def waiting(queue: EventQueue, endpoint: str, limit: int = 1000) -> Sequence[str]:
    """Which events, oldest first."""
    return [queued.event.id for queued in await queue.take(endpoint, limit)]


@asynccontextmanager
async def open_memory(_folder: Path) -> AsyncIterator[EventQueue]:
    yield MemoryEventQueue()


@asynccontextmanager
async def open_sql(folder: Path) -> AsyncIterator[EventQueue]:
    database = await open_sqlite_database(folder / "metadata.db")
    try:
        yield SqlEventQueue(database)
    finally:
        await database.close()


Open = Callable[[Path], AbstractAsyncContextManager[EventQueue]]

ADAPTERS: dict[str, Open] = {"memory": open_memory, "sql": open_sql}
