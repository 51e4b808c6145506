import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.ports.upstream import (
    Quota,
    UpstreamError,
    UpstreamFailed,
    UpstreamThrottled,
    UpstreamUnreachable,
)
from mirror.upstream.breaker import Breaker, Condition
from mirror.upstream.errors import QuotaExhausted
from tests.upstream.world import SetClock

DOWN = UpstreamUnreachable("docker.io: no route")


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def breaker(clock: SetClock) -> Breaker:
    return Breaker(clock)


def attempt(breaker: Breaker, error: UpstreamError | None, *, is_pull: bool = False) -> bool:
    """Whether the attempt was let through; it then ends with ``error``, or well."""
    try:
        permit = breaker.enter(is_pull=is_pull)
    except UpstreamError:
        return False
    if error is None:
        breaker.answered(permit)
    else:
        breaker.failed(permit, error)
    return True


def reading(clock: SetClock, remaining: int) -> Quota:
    return Quota(100, remaining, 21600, None, clock.now())


def test_five_failures_in_a_row_shut_it(breaker: Breaker) -> None:
    for _ in range(4):
        attempt(breaker, DOWN)
    attempt(breaker, None)
    assert [attempt(breaker, DOWN) for _ in range(7)] == [True] * 5 + [False] * 2


def test_the_pause_doubles_up_to_a_minute_with_one_probe_each(
    breaker: Breaker, clock: SetClock
) -> None:
    for _ in range(5):
        attempt(breaker, DOWN)
    pauses = []
    for _ in range(6):
        pause = breaker.wait(is_pull=False)
        pauses.append(pause)
        clock.pass_by(pause - 0.5)
        assert not attempt(breaker, DOWN)
        clock.pass_by(0.5)
        assert [attempt(breaker, DOWN) for _ in range(10)] == [True] + [False] * 9
    assert pauses == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


def test_a_probe_that_succeeds_opens_it_and_forgets_the_pause(
    breaker: Breaker, clock: SetClock
) -> None:
    for _ in range(5):
        attempt(breaker, DOWN)
    clock.pass_by(5)
    assert attempt(breaker, None)
    assert breaker.condition.state == "ok"
    assert [attempt(breaker, DOWN) for _ in range(6)] == [True] * 5 + [False]
    assert breaker.wait(is_pull=False) == 5.0


@pytest.mark.parametrize("kind", [UpstreamUnreachable, UpstreamFailed])
def test_who_is_not_let_through_hears_when_somebody_will_be(
    breaker: Breaker, clock: SetClock, kind: type[UpstreamError]
) -> None:
    for _ in range(5):
        attempt(breaker, kind("docker.io: down"))
    clock.pass_by(1.5)
    with pytest.raises(kind, match="down; not asked again for") as caught:
        breaker.enter(is_pull=False)
    assert caught.value.retry_after == 3.5


def test_one_probe_at_a_time(breaker: Breaker, clock: SetClock) -> None:
    for _ in range(5):
        attempt(breaker, DOWN)
    clock.pass_by(5)
    permit = breaker.enter(is_pull=False)
    with pytest.raises(UpstreamUnreachable, match="no route; not asked again for"):
        breaker.enter(is_pull=False)
    breaker.abandoned(permit)
    breaker.enter(is_pull=False)


def test_a_crowd_that_fails_together_counts_as_one_pause(breaker: Breaker, clock: SetClock) -> None:
    crowd = [breaker.enter(is_pull=False) for _ in range(100)]
    for permit in crowd:
        breaker.failed(permit, DOWN)
    assert breaker.wait(is_pull=False) == 5.0
    clock.pass_by(5)
    assert attempt(breaker, DOWN)
    assert breaker.wait(is_pull=False) == 10.0


def test_those_under_way_when_it_shuts_decide_nothing(breaker: Breaker, clock: SetClock) -> None:
    crowd = [breaker.enter(is_pull=False) for _ in range(4)]
    attempt(breaker, UpstreamThrottled("slow down", 30.0))
    breaker.answered(crowd[0])
    breaker.failed(crowd[1], UpstreamThrottled("slow down", 600.0))
    assert breaker.wait(is_pull=False) == 30.0
    clock.pass_by(30)
    breaker.enter(is_pull=False)
    breaker.abandoned(crowd[2])
    breaker.failed(crowd[3], DOWN)
    with pytest.raises(UpstreamThrottled):
        breaker.enter(is_pull=False)


def test_a_probe_that_nobody_waits_for_any_more_leaves_the_place_free(
    breaker: Breaker, clock: SetClock
) -> None:
    attempt(breaker, QuotaExhausted("no pulls", 10.0), is_pull=True)
    clock.pass_by(10)
    breaker.abandoned(breaker.enter(is_pull=True))
    assert attempt(breaker, None, is_pull=True)


def test_a_429_shuts_it_for_as_long_as_it_says(breaker: Breaker, clock: SetClock) -> None:
    attempt(breaker, UpstreamThrottled("docker.io: slow down", 42.0))
    with pytest.raises(UpstreamThrottled) as caught:
        breaker.enter(is_pull=False)
    assert caught.value.retry_after == 42.0
    clock.pass_by(41)
    assert not attempt(breaker, None)
    clock.pass_by(1)
    assert attempt(breaker, None)


def test_a_429_that_says_nothing_shuts_it_for_a_minute(breaker: Breaker) -> None:
    attempt(breaker, UpstreamThrottled("slow down"))
    assert breaker.wait(is_pull=False) == 60.0


def test_an_exhausted_limit_shuts_pulls_only(breaker: Breaker, clock: SetClock) -> None:
    breaker.observe(reading(clock, 0))
    attempt(breaker, QuotaExhausted("no pulls left"), is_pull=True)
    assert not attempt(breaker, None, is_pull=True)
    assert attempt(breaker, None, is_pull=False)
    assert not attempt(breaker, None, is_pull=True)
    with pytest.raises(QuotaExhausted):
        breaker.enter(is_pull=True)
    # The window is six hours; now and then one pull finds out whether it slid far enough.
    assert breaker.wait(is_pull=True) == 900.0
    clock.pass_by(900)
    probes = [attempt(breaker, QuotaExhausted("no pulls left"), is_pull=True) for _ in range(5)]
    assert probes == [True] + [False] * 4


def test_a_reading_with_pulls_left_opens_it_again(breaker: Breaker, clock: SetClock) -> None:
    breaker.observe(reading(clock, 0))
    attempt(breaker, QuotaExhausted("no pulls left"), is_pull=True)
    breaker.observe(reading(clock, 0))
    assert not attempt(breaker, None, is_pull=True)
    breaker.observe(reading(clock, 1))
    assert attempt(breaker, None, is_pull=True)


def test_a_reading_that_never_spoke_of_the_end_opens_nothing(
    breaker: Breaker, clock: SetClock
) -> None:
    breaker.observe(reading(clock, 50))
    attempt(breaker, QuotaExhausted("another limit", 30.0), is_pull=True)
    breaker.observe(reading(clock, 50))
    assert not attempt(breaker, None, is_pull=True)


def test_the_condition(breaker: Breaker, clock: SetClock) -> None:
    states = []
    for _ in range(4):
        attempt(breaker, DOWN)
        states.append(breaker.condition.state)
    assert states == ["ok", "ok", "failing", "failing"]
    assert breaker.condition == Condition("failing", DOWN, None)
    attempt(breaker, DOWN)
    shut = Condition("failing", DOWN, clock.monotonic() + 5)
    assert breaker.condition == shut
    clock.pass_by(100)
    # The pause is over, but nothing has come of it yet.
    assert breaker.condition == shut
    attempt(breaker, None)
    assert breaker.condition == Condition("ok")


def test_the_condition_of_being_told_to_wait(breaker: Breaker, clock: SetClock) -> None:
    throttled = UpstreamThrottled("slow down", 10.0)
    attempt(breaker, throttled)
    assert breaker.condition == Condition("throttled", throttled, clock.monotonic() + 10)
    clock.pass_by(10)
    assert breaker.condition == Condition("ok")


OUTCOMES = st.sampled_from(
    [None, DOWN, UpstreamFailed("503"), UpstreamThrottled("429", 3.0), QuotaExhausted("429", 7.0)]
)


@given(
    steps=st.lists(st.tuples(OUTCOMES, st.booleans(), st.floats(0, 90)), min_size=1, max_size=60)
)
def test_whatever_happens_it_never_stays_shut(
    steps: list[tuple[UpstreamError | None, bool, float]],
) -> None:
    clock = SetClock()
    breaker = Breaker(clock)
    for error, is_pull, seconds in steps:
        attempt(breaker, error, is_pull=is_pull)
        clock.pass_by(seconds)
        assert breaker.wait(is_pull=True) <= 60.0
    clock.pass_by(60)
    assert attempt(breaker, None, is_pull=True)
    assert breaker.condition.state == "ok"


@given(seconds=st.lists(st.floats(0, 3), min_size=20, max_size=200))
def test_a_dead_upstream_is_probed_at_most_once_in_each_pause(seconds: list[float]) -> None:
    clock = SetClock()
    breaker = Breaker(clock)
    probes = []
    for pause in seconds:
        if attempt(breaker, DOWN):
            probes.append(clock.monotonic())
        clock.pass_by(pause)
    gaps = [after - before for before, after in itertools.pairwise(probes[4:])]
    assert all(gap >= 5 for gap in gaps)
