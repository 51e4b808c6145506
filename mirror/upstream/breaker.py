"""When not to ask an upstream: it told us to wait, or it keeps failing. No I/O, no waiting.

Two gates stand behind each other: one for everything, and one for pulls alone, which an exhausted
pull limit shuts while the rest goes on.
"""

from dataclasses import dataclass
from typing import Literal

from mirror.ports.clock import Clock
from mirror.ports.upstream import (
    Quota,
    UpstreamError,
    UpstreamFailed,
    UpstreamThrottled,
    UpstreamUnreachable,
)
from mirror.upstream.errors import QuotaExhausted

_FAILURES_TO_SHUT = 5
_FAILURES_TO_REPORT = 3
_FIRST_PAUSE = 5.0
_LONGEST_PAUSE = 60.0
_THROTTLED_PAUSE = 60.0
_SHORTEST_PAUSE = 1.0
# A sliding window lets some pulls through long before its end, and a probe that fails is free.
_LONGEST_PULL_PAUSE = 900.0


@dataclass(frozen=True, slots=True)
class Condition:
    """How the upstream does; ``retry_at`` by the monotonic clock."""

    state: Literal["ok", "throttled", "failing"]
    cause: UpstreamError | None = None
    retry_at: float | None = None


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to make one attempt; says how often each of its gates had been shut before."""

    is_pull: bool
    shut_before: tuple[int, ...]


class Breaker:
    """Gives a permit for every attempt, and is told what came of it.

    A gate that was shut lets one attempt at a time through when its pause is over; what comes of
    that decides about the others. Attempts that were under way when a gate was shut decide
    nothing any more: hundreds may end within a moment, well or badly.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._everything = _Gate()
        self._pulls = _Gate()
        self._failures = 0
        self._last_failure: UpstreamError | None = None
        self._pause = _FIRST_PAUSE
        self._pull_pace = _SHORTEST_PAUSE
        self._quota: Quota | None = None

    def enter(self, *, is_pull: bool) -> Permit:
        """Raises at once what shut the gate, with the time that is left."""
        now = self._clock.monotonic()
        gates = self._gates(is_pull=is_pull)
        for gate in gates:
            gate.check(now)
        for gate in gates:
            gate.enter()
        return Permit(is_pull, tuple(gate.times_shut for gate in gates))

    def answered(self, permit: Permit) -> None:
        """The upstream gave an answer of its own, whatever it was."""
        gates = self._current_gates(permit)
        if self._everything in gates:
            self._failures = 0
            self._last_failure = None
            self._pause = _FIRST_PAUSE
        if self._pulls in gates:
            self._pull_pace = _SHORTEST_PAUSE
        for gate in gates:
            gate.open()

    def failed(self, permit: Permit, error: UpstreamError) -> None:
        """It could not be reached, failed, or refused to be asked that often."""
        gates = self._current_gates(permit)
        for gate in gates:
            gate.leave()
        if isinstance(error, UpstreamThrottled):
            gate, pause = self._throttling(error)
            if gate in gates:
                gate.shut(self._clock.monotonic() + pause, error)
        elif self._everything in gates:
            self._count_failure(error)

    def abandoned(self, permit: Permit) -> None:
        """Nothing came of it: whoever asked has left."""
        for gate in self._current_gates(permit):
            gate.leave()

    def observe(self, quota: Quota) -> None:
        """A reading of the pull limit, which a HEAD brings too: pulls may be possible again."""
        was_exhausted = self._quota is not None and self._quota.remaining == 0
        if was_exhausted and quota.remaining > 0:
            self._pulls.open()
        self._quota = quota

    def wait(self, *, is_pull: bool) -> float:
        """Seconds until an attempt is let through; not below zero."""
        until = max(gate.until for gate in self._gates(is_pull=is_pull))
        return max(until - self._clock.monotonic(), 0.0)

    @property
    def quota(self) -> Quota | None:
        """The last reading."""
        return self._quota

    @property
    def condition(self) -> Condition:
        now = self._clock.monotonic()
        for gate in (self._everything, self._pulls):
            if isinstance(gate.cause, UpstreamThrottled) and now < gate.until:
                return Condition("throttled", gate.cause, gate.until)
        if self._failures >= _FAILURES_TO_REPORT:
            retry_at = self._everything.until if self._everything.cause else None
            return Condition("failing", self._last_failure, retry_at)
        return Condition("ok")

    def _count_failure(self, error: UpstreamError) -> None:
        self._failures += 1
        self._last_failure = error
        if self._failures >= _FAILURES_TO_SHUT:
            self._everything.shut(self._clock.monotonic() + self._pause, error)
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def _throttling(self, error: UpstreamThrottled) -> tuple["_Gate", float]:
        """What a 429 shuts, and for how many seconds."""
        is_limit = isinstance(error, QuotaExhausted)
        pause = error.retry_after
        if pause is None:
            pause = self._pull_pause() if is_limit else _THROTTLED_PAUSE
        gate = self._pulls if is_limit else self._everything
        return gate, max(pause, _SHORTEST_PAUSE)

    def _pull_pause(self) -> float:
        """A registry that never speaks of a window has a pace instead: so many pulls a second."""
        if self._quota is not None:
            return min(float(self._quota.window_seconds), _LONGEST_PULL_PAUSE)
        pause = self._pull_pace
        self._pull_pace = min(pause * 2, _THROTTLED_PAUSE)
        return pause

    def _gates(self, *, is_pull: bool) -> tuple["_Gate", ...]:
        return (self._everything, self._pulls) if is_pull else (self._everything,)

    def _current_gates(self, permit: Permit) -> tuple["_Gate", ...]:
        """The gates that were not shut since the permit was given."""
        gates = zip(self._gates(is_pull=permit.is_pull), permit.shut_before, strict=True)
        return tuple(gate for gate, shut_before in gates if gate.times_shut == shut_before)


class _Gate:
    """Open, or shut for some reason until some time and then ajar for one."""

    def __init__(self) -> None:
        self.cause: UpstreamError | None = None
        self.until = float("-inf")
        self.times_shut = 0
        self._is_probing = False

    def check(self, now: float) -> None:
        if self.cause is not None and (now < self.until or self._is_probing):
            raise _again(self.cause, max(self.until - now, _SHORTEST_PAUSE))

    def enter(self) -> None:
        self._is_probing = self.cause is not None

    def leave(self) -> None:
        self._is_probing = False

    def open(self) -> None:
        self.cause, self.until, self._is_probing = None, float("-inf"), False

    def shut(self, until: float, cause: UpstreamError) -> None:
        self.cause, self.until, self._is_probing = cause, until, False
        self.times_shut += 1


def _again(cause: UpstreamError, seconds: float) -> UpstreamError:
    message = f"{cause}; not asked again for {seconds:.0f} s"
    if isinstance(cause, QuotaExhausted):
        return QuotaExhausted(message, seconds)
    if isinstance(cause, UpstreamThrottled):
        return UpstreamThrottled(message, seconds)
    kind = UpstreamFailed if isinstance(cause, UpstreamFailed) else UpstreamUnreachable
    return kind(message, seconds)
