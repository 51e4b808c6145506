"""Events that wait, in collections: for tests, and the reference that says what the port means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mirror.ports.events import Addressed, QueuedEvent, Standing


@dataclass(slots=True)
class _Queue:
    last_number: int = 0
    failures: int = 0
    retry_at: datetime | None = None
    waiting: list[tuple[datetime, QueuedEvent]] = field(default_factory=list)

    def drop(self, count: int) -> int:
        """Of the oldest; how many."""
        del self.waiting[:count]
        return count

    def keep(self, count: int) -> int:
        """Of the newest; how many others went."""
        return self.drop(max(len(self.waiting) - count, 0))


class MemoryEventQueue:
    """An ``EventQueue`` of which no step waits. Nothing survives the process."""

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}

    async def enqueue(
        self, events: Sequence[Addressed], capacity: Mapping[str, int], queued_at: datetime
    ) -> Mapping[str, int]:
        for addressed in events:
            queue = self._queues.setdefault(addressed.endpoint, _Queue())
            queue.last_number += 1
            queue.waiting.append((queued_at, QueuedEvent(queue.last_number, addressed.event)))
        dropped = {
            endpoint: self._queues[endpoint].keep(capacity[endpoint])
            for endpoint in dict.fromkeys(addressed.endpoint for addressed in events)
        }
        return {endpoint: count for endpoint, count in dropped.items() if count}

    async def take(self, endpoint: str, limit: int) -> Sequence[QueuedEvent]:
        queue = self._queues.get(endpoint)
        return [queued for _, queued in queue.waiting[:limit]] if queue else []

    async def done(self, endpoint: str, through: int) -> None:
        queue = self._queues.get(endpoint)
        if queue is not None:
            queue.drop(sum(queued.number <= through for _, queued in queue.waiting))
            queue.failures, queue.retry_at = 0, None

    async def postpone(self, endpoint: str, failures: int, retry_at: datetime) -> None:
        queue = self._queues.get(endpoint)
        if queue is not None:
            queue.failures, queue.retry_at = failures, retry_at

    async def expire(self, endpoint: str, queued_before: datetime) -> int:
        queue = self._queues.get(endpoint)
        if queue is None:
            return 0
        ages = enumerate(queued_at for queued_at, _ in queue.waiting)
        kept = next((place for place, queued_at in ages if queued_at >= queued_before), None)
        return queue.drop(len(queue.waiting) if kept is None else kept)

    async def forget(self, endpoint: str) -> int:
        queue = self._queues.pop(endpoint, None)
        return len(queue.waiting) if queue else 0

    async def standings(self) -> Mapping[str, Standing]:
        return {
            endpoint: Standing(len(queue.waiting), queue.failures, queue.retry_at)
            for endpoint, queue in self._queues.items()
        }
