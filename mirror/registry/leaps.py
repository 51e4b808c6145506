"""How far the wall clock was set forward lately. Pure but for the marks it keeps.

What a clock that is set forward makes of yesterday is no age: nothing may be deleted for it.
"""

from collections import deque
from datetime import datetime, timedelta

from mirror.ports.clock import Clock

APART = 3600.0
"""Seconds between two marks, so that a span of days needs few of them."""


class Leaps:
    """Looked at now and then. What was before this process began is not known."""

    def __init__(self, clock: Clock, span: timedelta) -> None:
        self._clock = clock
        self._span = span.total_seconds()
        self._marks: deque[tuple[datetime, float]] = deque([(clock.now(), clock.monotonic())])

    def forward(self) -> timedelta:
        """By how much more than the time that passed the clock has moved within the span."""
        now, elapsed = self._clock.now(), self._clock.monotonic()
        # The newest of those that are older than the span says where the span began.
        while len(self._marks) > 1 and elapsed - self._marks[1][1] >= self._span:
            self._marks.popleft()
        leaps = [(now - at) - timedelta(seconds=elapsed - then) for at, then in self._marks]
        if elapsed - self._marks[-1][1] >= APART:
            self._marks.append((now, elapsed))
        return max([timedelta(), *leaps])
