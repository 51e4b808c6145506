"""Trying again: what is worth it, when, and how often."""

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from mirror.oci.challenge import Scope
from mirror.ports.clock import Clock
from mirror.ports.upstream import (
    UpstreamError,
    UpstreamFailed,
    UpstreamThrottled,
    UpstreamUnreachable,
)
from mirror.upstream.authorised import Authorised
from mirror.upstream.breaker import Breaker
from mirror.upstream.errors import LinkRefused, UpstreamBusy
from mirror.upstream.redirect import Answer, Wish
from mirror.upstream.tally import Tally
from mirror.upstream.verdict import Verdict

_MOST_ATTEMPTS = 3
_FIRST_DELAY = 0.1
_GROWTH = 4.0
_LONGEST_WAIT = 5.0
# Clients wait 30 s for headers, and one more attempt can take half of that.
_LONGEST_EFFORT = 10.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pauses:
    """``random`` is between 0 and 1, ``sleep`` takes seconds."""

    random: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]


class Retrying:
    """Attempts, each from the registry's own address on, so that signed addresses are new ones."""

    def __init__(
        self,
        authorised: Authorised,
        verdict: Verdict,
        breaker: Breaker,
        tally: Tally,
        clock: Clock,
        pauses: Pauses,
    ) -> None:
        self._authorised = authorised
        self._verdict = verdict
        self._breaker = breaker
        self._tally = tally
        self._clock = clock
        self._pauses = pauses

    async def run(self, wish: Wish, scope: Scope, use: Callable[[Answer], Awaitable[T]]) -> T:
        """What ``use`` makes of an answer that is no passing trouble.

        ``use`` may raise UpstreamError, which is then part of the attempt. The answer stays open
        unless it raises.
        """
        began = self._clock.monotonic()
        for attempt in itertools.count(1):
            try:
                return await self._attempt(wish, scope, use)
            except UpstreamError as error:
                effort = self._clock.monotonic() - began
                shut = self._breaker.wait(is_pull=wish.is_pull)
                error = not_before(error, shut)
                delay = retry_delay(error, attempt, effort, self._pauses.random())
                if delay is None or shut > delay:
                    raise error from None
            await self._pauses.sleep(delay)
        raise AssertionError

    async def _attempt(self, wish: Wish, scope: Scope, use: Callable[[Answer], Awaitable[T]]) -> T:
        permit = self._breaker.enter(is_pull=wish.is_pull)
        try:
            result = await self._ask(wish, scope, use)
        except (UpstreamUnreachable, UpstreamFailed, UpstreamThrottled) as error:
            self._tally.errors += 1
            self._breaker.failed(permit, error)
            raise
        except UpstreamError:
            self._tally.errors += 1
            self._breaker.answered(permit)
            raise
        except BaseException:
            self._breaker.abandoned(permit)
            raise
        self._breaker.answered(permit)
        return result

    async def _ask(self, wish: Wish, scope: Scope, use: Callable[[Answer], Awaitable[T]]) -> T:
        answer = await self._authorised.send(wish, scope)
        try:
            trouble = await self._verdict.passing_trouble(answer.response, is_pull=wish.is_pull)
            if trouble is not None:
                raise trouble
            return await use(answer)
        except BaseException:
            answer.close()
            raise


def not_before(error: UpstreamError, shut: float) -> UpstreamError:
    """The error as the client should hear it when nothing is asked for ``shut`` more seconds.

    Neither a 429 without ``Retry-After`` nor the last of some failures says anything of the pause
    that we make of it.
    """
    if shut <= (error.retry_after or 0.0):
        return error
    return type(error)(str(error), shut)


def retry_delay(error: UpstreamError, attempt: int, effort: float, random: float) -> float | None:
    """Seconds to wait before the next attempt; None when there should be none.

    ``attempt`` counts from 1, ``effort`` is what was spent so far in seconds, ``random`` is
    between 0 and 1: those who failed together should not come back together.
    """
    if attempt >= _MOST_ATTEMPTS or effort >= _LONGEST_EFFORT:
        return None
    if isinstance(error, UpstreamThrottled | UpstreamBusy):
        wait = error.retry_after
        return wait if wait is not None and wait <= _LONGEST_WAIT else None
    if isinstance(error, UpstreamUnreachable | UpstreamFailed | LinkRefused):
        return float(_FIRST_DELAY * _GROWTH ** (attempt - 1) * (1 + random) / 2)
    return None
