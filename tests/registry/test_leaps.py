"""How far a clock was set forward, for as long as it matters."""

from datetime import timedelta

from mirror.registry.leaps import Leaps
from tests.world import SettableClock

HOUR = timedelta(hours=1)
SPAN = 10 * HOUR


def test_time_that_passes_is_no_leap() -> None:
    clock = SettableClock()
    leaps = Leaps(clock, SPAN)
    for _ in range(30):
        clock.advance(HOUR)
        assert leaps.forward() == timedelta()


def test_a_leap_counts_for_as_long_as_the_span() -> None:
    clock = SettableClock()
    leaps = Leaps(clock, SPAN)
    for _ in range(5):
        clock.advance(HOUR)
        assert leaps.forward() == timedelta()
    clock.jump(100 * HOUR)
    assert leaps.forward() == 100 * HOUR
    for _ in range(10):
        clock.advance(HOUR)
        assert leaps.forward() == 100 * HOUR
    clock.advance(HOUR)
    assert leaps.forward() == timedelta()


def test_leaps_that_follow_each_other_add_up() -> None:
    clock = SettableClock()
    leaps = Leaps(clock, SPAN)
    for _ in range(3):
        clock.advance(HOUR)
        clock.jump(HOUR)
        leaps.forward()
    assert leaps.forward() == 3 * HOUR


def test_a_clock_that_is_set_back_is_no_leap() -> None:
    clock = SettableClock()
    leaps = Leaps(clock, SPAN)
    clock.jump(-100 * HOUR)
    assert leaps.forward() == timedelta()
    clock.advance(HOUR)
    clock.jump(50 * HOUR)
    assert leaps.forward() == timedelta()
    clock.jump(51 * HOUR)
    assert leaps.forward() == 51 * HOUR


def test_who_looks_all_the_time_remembers_no_more() -> None:
    clock = SettableClock()
    leaps = Leaps(clock, SPAN)
    for _ in range(100_000):
        clock.advance(timedelta(seconds=1))
        leaps.forward()
    assert len(leaps._marks) <= 12
