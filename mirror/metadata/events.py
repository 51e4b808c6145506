"""Statements about events that wait to be delivered.

A queue only loses events at its front, so how long it is follows from its first number and the
last one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from mirror.metadata.database import Database
from mirror.metadata.schema import event_queues, queued_events
from mirror.metadata.upsert import insert_into
from mirror.ports.events import Addressed, Event, QueuedEvent, Standing
from mirror.ports.metadata import MetadataError


class SqlEventQueue:
    """An ``EventQueue`` in the database that holds the other facts, which somebody else closes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def enqueue(
        self, events: Sequence[Addressed], capacity: Mapping[str, int], queued_at: datetime
    ) -> Mapping[str, int]:
        if not events:
            return {}
        return await self._database.write(enqueue, events, capacity, queued_at)

    async def take(self, endpoint: str, limit: int) -> Sequence[QueuedEvent]:
        return await self._database.read(take, endpoint, limit)

    async def done(self, endpoint: str, through: int) -> None:
        await self._database.write(done, endpoint, through)

    async def postpone(self, endpoint: str, failures: int, retry_at: datetime) -> None:
        await self._database.write(postpone, endpoint, failures, retry_at)

    async def expire(self, endpoint: str, queued_before: datetime) -> int:
        return await self._database.write(expire, endpoint, queued_before)

    async def forget(self, endpoint: str) -> int:
        return await self._database.write(forget, endpoint)

    async def standings(self) -> Mapping[str, Standing]:
        return await self._database.read(standings)


def enqueue(
    connection: Connection,
    events: Sequence[Addressed],
    capacity: Mapping[str, int],
    queued_at: datetime,
) -> Mapping[str, int]:
    rows: dict[str, list[str]] = {}
    for addressed in events:
        rows.setdefault(addressed.endpoint, []).append(_text(addressed.event))
    dropped = {
        endpoint: _append(connection, endpoint, texts, capacity[endpoint], queued_at)
        for endpoint, texts in rows.items()
    }
    return {endpoint: count for endpoint, count in dropped.items() if count}


def _append(
    connection: Connection, endpoint: str, texts: Sequence[str], capacity: int, queued_at: datetime
) -> int:
    last = _advance(connection, endpoint, len(texts))
    first = last - len(texts) + 1
    connection.execute(
        insert(queued_events),
        [
            {"endpoint": endpoint, "number": number, "queued_at": queued_at, "event": text}
            for number, text in enumerate(texts, first)
        ],
    )
    return _remove_through(connection, endpoint, last - capacity)


def _advance(connection: Connection, endpoint: str, count: int) -> int:
    """The last number of the endpoint, once it has so many more."""
    statement = insert_into(connection, event_queues).values(
        endpoint=endpoint, last_number=count, failures=0, retry_at=None
    )
    upsert = statement.on_conflict_do_update(
        index_elements=[event_queues.c.endpoint],
        set_={"last_number": event_queues.c.last_number + count},
    )
    return int(connection.execute(upsert.returning(event_queues.c.last_number)).scalar_one())


def take(connection: Connection, endpoint: str, limit: int) -> Sequence[QueuedEvent]:
    rows = connection.execute(_TAKE, {"of": endpoint, "most": limit})
    return [QueuedEvent(row.number, _event(row.event)) for row in rows]


def done(connection: Connection, endpoint: str, through: int) -> None:
    _remove_through(connection, endpoint, through)
    _stand(connection, endpoint, 0, None)


def postpone(connection: Connection, endpoint: str, failures: int, retry_at: datetime) -> None:
    _stand(connection, endpoint, failures, retry_at)


def expire(connection: Connection, endpoint: str, queued_before: datetime) -> int:
    of_endpoint = queued_events.c.endpoint == endpoint
    kept = select(func.min(queued_events.c.number)).where(
        of_endpoint, queued_events.c.queued_at >= queued_before
    )
    last = select(event_queues.c.last_number).where(event_queues.c.endpoint == endpoint)
    through = connection.scalar(
        select(func.coalesce(kept.scalar_subquery() - 1, last.scalar_subquery()))
    )
    return _remove_through(connection, endpoint, through or 0)


def forget(connection: Connection, endpoint: str) -> int:
    removed = connection.execute(
        delete(queued_events).where(queued_events.c.endpoint == endpoint)
    ).rowcount
    connection.execute(delete(event_queues).where(event_queues.c.endpoint == endpoint))
    return removed


def standings(connection: Connection) -> Mapping[str, Standing]:
    return {
        row.endpoint: Standing(row.queued, row.failures, row.retry_at)
        for row in connection.execute(_STANDINGS)
    }


def _remove_through(connection: Connection, endpoint: str, number: int) -> int:
    return connection.execute(
        delete(queued_events).where(
            queued_events.c.endpoint == endpoint, queued_events.c.number <= number
        )
    ).rowcount


def _stand(connection: Connection, endpoint: str, failures: int, retry_at: datetime | None) -> None:
    connection.execute(
        update(event_queues)
        .where(event_queues.c.endpoint == endpoint)
        .values(failures=failures, retry_at=retry_at)
    )


def _text(event: Event) -> str:
    return msgspec.json.encode(event).decode()


def _event(text: str) -> Event:
    try:
        return msgspec.json.decode(text, type=Event)
    except msgspec.MsgspecError as error:
        raise MetadataError(
            f"the metadata are damaged: an event cannot be read: {error}"
        ) from error


_TAKE = (
    select(queued_events.c.number, queued_events.c.event)
    .where(queued_events.c.endpoint == bindparam("of"))
    .order_by(queued_events.c.number)
    .limit(bindparam("most"))
)
_FIRST_NUMBER = (
    select(func.min(queued_events.c.number))
    .where(queued_events.c.endpoint == event_queues.c.endpoint)
    .scalar_subquery()
)
_STANDINGS = select(
    event_queues.c.endpoint,
    event_queues.c.failures,
    event_queues.c.retry_at,
    func.coalesce(event_queues.c.last_number - _FIRST_NUMBER + 1, 0).label("queued"),
)
