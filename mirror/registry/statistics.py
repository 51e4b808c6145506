"""What the server did: counters that survive a restart, in memory between flushes.

Counting is synchronous and cheap: it happens on every request.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from mirror.ports.metadata import UsageStore


class Result(Enum):
    """What the cache did for one answer."""

    HIT = "hit"
    MISS = "miss"
    STALE = "stale"
    REVALIDATED = "revalidated"
    HOSTED = "hosted"
    ERROR = "error"


Kind = Literal["manifest", "blob", "other"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One counter with its labels. ``upstream`` is empty where none was concerned."""

    measure: str
    upstream: str
    kind: str
    result: str
    value: int


_SEPARATOR = "|"

_Key = tuple[str, str, str, str]
"""Measure, upstream, kind and result."""


Feed = Callable[[], Iterable[tuple[str, str, int]]]
"""Measure, upstream and count since this process began, of something that counts for itself."""


class Statistics:
    """Counters by upstream, kind and result.

    ``bytes_served`` counts what went to clients, ``bytes_from_upstream`` what came in, and
    ``bytes_saved`` what went to clients from what was already here.
    """

    def __init__(self) -> None:
        self._totals: Counter[_Key] = Counter()
        self._unsaved: Counter[_Key] = Counter()
        self._feeds: list[Feed] = []
        self._fed: dict[tuple[str, str], int] = {}

    async def load(self, store: UsageStore) -> None:
        """Add what earlier runs counted."""
        for name, value in (await store.load_counters()).items():
            self._totals[_key(name)] += value

    async def flush(self, store: UsageStore) -> None:
        """Write what was counted since the last flush. Nothing is lost when it fails."""
        self._collect()
        increments, self._unsaved = self._unsaved, Counter()
        if not increments:
            return
        try:
            await store.add_counters({_name(key): value for key, value in increments.items()})
        except BaseException:
            self._unsaved.update(increments)
            raise

    def follow(self, feed: Feed) -> None:
        """Take up what this counts whenever counters are read or written."""
        self._feeds.append(feed)

    def answered(self, upstream: str | None, kind: Kind, result: Result) -> None:
        self._add("requests", upstream, kind, result, 1)

    def served(self, upstream: str | None, kind: Kind, result: Result, count: int) -> None:
        """``count`` bytes of content went to a client."""
        self._add("bytes_served", upstream, kind, result, count)

    def fetched(self, upstream: str, kind: Kind, count: int) -> None:
        """``count`` bytes of content came from an upstream."""
        self._add("bytes_from_upstream", upstream, kind, None, count)

    def counted(self, event: str, upstream: str | None = None, count: int = 1) -> None:
        """Something that is neither a request nor bytes: an eviction, a quarantine."""
        self._add(event, upstream, "other", None, count)

    def samples(self) -> list[Sample]:
        self._collect()
        return [Sample(*key, value) for key, value in sorted(self._totals.items())]

    def total(self, measure: str, *, result: Result | None = None) -> int:
        return sum(
            sample.value
            for sample in self.samples()
            if sample.measure == measure and (result is None or sample.result == result.value)
        )

    def by_result(self) -> Mapping[Result, int]:
        return {result: self.total("requests", result=result) for result in Result}

    def _collect(self) -> None:
        for measure, upstream, count in (fed for feed in self._feeds for fed in feed()):
            new = count - self._fed.get((measure, upstream), 0)
            if new > 0:
                self._fed[measure, upstream] = count
                self._add(measure, upstream, "other", None, new)

    def _add(
        self, measure: str, upstream: str | None, kind: Kind, result: Result | None, count: int
    ) -> None:
        key = (measure, upstream or "", kind, result.value if result else "")
        self._totals[key] += count
        self._unsaved[key] += count


def bytes_saved(samples: list[Sample]) -> int:
    """Bytes that clients got without an upstream having to send them again."""
    served = sum(
        sample.value
        for sample in samples
        if sample.measure == "bytes_served" and sample.result != Result.HOSTED.value
    )
    fetched = sum(sample.value for sample in samples if sample.measure == "bytes_from_upstream")
    return max(served - fetched, 0)


def hit_ratio(results: Mapping[Result, int]) -> float:
    """Content answers that needed no download, as a share of all content answers."""
    good = results[Result.HIT] + results[Result.STALE] + results[Result.REVALIDATED]
    asked = good + results[Result.MISS]
    return good / asked if asked else 0.0


def _name(key: _Key) -> str:
    return _SEPARATOR.join(key)


def _key(name: str) -> _Key:
    """Of a stored counter. One of another shape than today's is kept under its own name."""
    parts = name.split(_SEPARATOR)
    if len(parts) == len(("measure", "upstream", "kind", "result")):
        return (parts[0], parts[1], parts[2], parts[3])
    return (name, "", "other", "")
