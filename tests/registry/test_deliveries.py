"""Queues and those who listen to them: in order, at least once, and no longer than it makes sense.

Time only passes when a test lets it.
"""

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.digest import digest_of
from mirror.oci.reference import RepositoryName, Tag
from mirror.ports.events import Asker, DeliveryFailed
from mirror.ports.repository import Repository
from mirror.registry.deliveries import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    LONGEST_WISH,
    MOST_AT_ONCE,
    Delivery,
    EndpointStatus,
    pause_after,
)
from mirror.registry.happenings import manifest_deleted, tag_deleted
from tests.registry.listeners import Office, TroubledQueue, open_office, subscription
from tests.world import SettableClock

APP = Repository(None, RepositoryName("team/app"))
ASKER = Asker("r1", "192.0.2.7:40000", "mirror.lan:5000", "DELETE", "crane")
DOWN = DeliveryFailed("it answered 503")


async def happen(office: Office, count: int = 1) -> None:
    for number in range(count):
        digest = digest_of(str(number).encode())
        await office.events.announce([manifest_deleted(APP, digest)], ASKER)


def delivery_of(office: Office, endpoint: str = "ci") -> Delivery:
    return office.deliveries.by_name[endpoint]


async def go_on(office: Office, endpoint: str = "ci") -> float | None:
    """Until it waits for something: for how many seconds."""
    delivery = delivery_of(office, endpoint)
    wait: float | None = 0.0
    while wait == 0.0:
        wait = await delivery.step()
    return wait


async def test_events_are_delivered_together_and_in_order_and_then_gone() -> None:
    office = await open_office(subscription("ci"))
    await happen(office, 3)
    ids = await office.waiting("ci")
    assert await go_on(office) is None
    assert office.listeners["ci"].messages == [ids]
    assert await office.waiting("ci") == []
    assert office.counted("webhook_delivered") == {"ci": 3}
    assert delivery_of(office).status() == EndpointStatus(0, 0, None, None)


async def test_a_long_queue_goes_out_in_several_messages() -> None:
    office = await open_office(subscription("ci", capacity=1000))
    await happen(office, 2 * MOST_AT_ONCE + 1)
    ids = await office.waiting("ci")
    await go_on(office)
    listener = office.listeners["ci"]
    assert [len(message) for message in listener.messages] == [MOST_AT_ONCE, MOST_AT_ONCE, 1]
    assert listener.ids == ids


async def test_what_was_not_taken_is_tried_again_later_and_later() -> None:
    office = await open_office(subscription("ci"))
    await happen(office)
    listener = office.listeners["ci"]
    listener.trouble = DOWN
    waits = []
    for _ in range(12):
        wait = await go_on(office)
        assert wait is not None
        waits.append(wait)
        office.clock.advance(timedelta(seconds=wait))
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, LONGEST_PAUSE, LONGEST_PAUSE]
    assert len(listener.messages) == 12
    assert office.counted("webhook_failed") == {"ci": 12}
    listener.trouble = None
    assert await go_on(office) is None
    assert listener.ids == listener.messages[0]
    assert delivery_of(office).status() == EndpointStatus(0, 0, None, None)


async def test_nothing_is_sent_before_its_time_also_when_more_happens() -> None:
    office = await open_office(subscription("ci"))
    await happen(office)
    listener = office.listeners["ci"]
    listener.trouble = DOWN
    await go_on(office)
    await go_on(office)
    await happen(office)
    office.clock.advance(timedelta(seconds=0.75))
    assert await go_on(office) == 0.25
    assert len(listener.messages) == 1
    status = delivery_of(office).status()
    assert (status.queued, status.failures, status.reason) == (2, 1, "it answered 503")
    assert status.retry_at == office.clock.now() + timedelta(seconds=0.25)


async def test_order_is_kept_through_failures() -> None:
    office = await open_office(subscription("ci", capacity=1000))
    await happen(office, 5)
    listener = office.listeners["ci"]
    listener.trouble = DOWN
    await go_on(office)
    await happen(office, 150)
    ids = await office.waiting("ci")
    listener.trouble = None
    office.clock.advance(timedelta(seconds=1))
    await go_on(office)
    assert listener.ids == ids


async def test_after_failures_less_is_sent_at_once_and_then_more_again() -> None:
    office = await open_office(subscription("ci", capacity=1000))
    await happen(office, 300)
    listener = office.listeners["ci"]
    listener.trouble = DeliveryFailed("it answered 413")
    for _ in range(8):
        office.clock.advance(timedelta(seconds=await go_on(office) or 0.0))
    assert [len(message) for message in listener.messages] == [100, 50, 25, 12, 6, 3, 1, 1]
    listener.trouble = None
    del listener.messages[:]
    await go_on(office)
    assert [len(message) for message in listener.messages] == [1, 2, 4, 8, 16, 32, 64, 100, 73]


async def test_an_endpoint_that_asks_to_be_left_alone_is() -> None:
    office = await open_office(subscription("ci"))
    await happen(office)
    listener = office.listeners["ci"]
    listener.trouble = DeliveryFailed("it answered 429", retry_after=90)
    assert await go_on(office) == 90
    office.clock.advance(timedelta(seconds=90))
    listener.trouble = DeliveryFailed("it answered 429", retry_after=10.0**9)
    assert await go_on(office) == LONGEST_WISH


@given(st.integers(1, 10_000), st.floats(0, 1), st.none() | st.floats(0, 1e12))
def test_a_pause_is_never_short_and_never_for_ever(
    failures: int, chance: float, asked: float | None
) -> None:
    pause = pause_after(failures, chance, asked)
    assert FIRST_PAUSE / 2 <= pause <= max(LONGEST_PAUSE, LONGEST_WISH)
    assert pause >= min(asked or 0, LONGEST_WISH)
    assert pause_after(failures, 0.25) < pause_after(failures, 0.75), "not all come back at once"


async def test_a_dead_endpoint_is_in_nobodys_way() -> None:
    office = await open_office(subscription("ci"), subscription("dead"))
    await happen(office, 2)
    office.listeners["dead"].trouble = DOWN
    await go_on(office, "dead")
    await happen(office, 2)
    assert await go_on(office, "ci") is None
    assert len(office.listeners["ci"].ids) == 4
    assert office.deliveries.statuses()["dead"].queued == 4


# Giving up.


async def test_events_of_an_endpoint_that_is_dead_for_too_long_are_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    office = await open_office(subscription("ci"), give_up_after=timedelta(hours=1))
    await happen(office, 2)
    listener = office.listeners["ci"]
    listener.trouble = DOWN
    await go_on(office)
    office.clock.advance(timedelta(hours=1))
    await go_on(office)
    assert delivery_of(office).status().queued == 2, "not longer than an hour"
    await happen(office)
    office.clock.advance(timedelta(seconds=2))
    await go_on(office)
    assert delivery_of(office).status().queued == 1
    assert len(await office.waiting("ci")) == 1
    assert office.counted("webhook_dropped") == {"ci": 2}
    assert "webhook ci: dropped 2 events that it did not take in 1:00:00" in caplog.messages


async def test_what_waited_while_the_server_was_away_is_tried_before_it_is_dropped() -> None:
    queue, clock = TroubledQueue(), SettableClock()
    await happen(await open_office(subscription("ci"), queue=queue, clock=clock))
    clock.advance(timedelta(days=30))
    office = await open_office(subscription("ci"), queue=queue, clock=clock)
    assert await go_on(office) is None
    assert len(office.listeners["ci"].ids) == 1


async def test_the_oldest_make_room_which_is_counted_and_said_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    office = await open_office(subscription("ci", capacity=2))
    await happen(office, 6)
    assert office.counted("webhook_dropped") == {"ci": 4}
    assert delivery_of(office).status().queued == 2
    office.clock.advance(timedelta(minutes=1))
    await happen(office)
    lines = [line for line in caplog.messages if "dropped" in line]
    assert lines == [
        f"webhook ci: dropped {count} events: more came than may wait for it" for count in (1, 4)
    ]


# Restarts.


async def test_what_was_not_delivered_is_delivered_after_a_restart() -> None:
    queue, clock = TroubledQueue(), SettableClock()
    before = await open_office(subscription("ci"), queue=queue, clock=clock)
    await happen(before, 3)
    ids = await before.waiting("ci")
    after = await open_office(subscription("ci"), queue=queue, clock=clock)
    assert delivery_of(after).status().queued == 3
    await go_on(after)
    assert after.listeners["ci"].ids == ids


async def test_a_restart_does_not_hurry_an_endpoint_that_fails() -> None:
    queue, clock = TroubledQueue(), SettableClock()
    before = await open_office(subscription("ci"), queue=queue, clock=clock)
    await happen(before)
    before.listeners["ci"].trouble = DOWN
    for _ in range(4):
        clock.advance(timedelta(seconds=await go_on(before) or 0.0))
    await go_on(before)
    after = await open_office(subscription("ci"), queue=queue, clock=clock)
    assert await go_on(after) == 16
    assert after.listeners["ci"].messages == []
    assert delivery_of(after).status().failures == 5


async def test_a_clock_that_was_set_wrong_does_not_silence_an_endpoint_for_ever() -> None:
    queue, clock = TroubledQueue(), SettableClock()
    before = await open_office(subscription("ci"), queue=queue, clock=clock)
    await happen(before)
    before.listeners["ci"].trouble = DOWN
    await go_on(before)
    clock.jump(timedelta(days=-3650))
    after = await open_office(subscription("ci"), queue=queue, clock=clock)
    assert await go_on(after) == LONGEST_WISH


async def test_endpoints_that_are_not_configured_any_more_are_forgotten(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue = TroubledQueue()
    await happen(await open_office(subscription("ci"), subscription("old"), queue=queue), 2)
    office = await open_office(subscription("ci"), queue=queue)
    assert (await queue.standings()).keys() == {"ci"}
    assert "webhook old is no longer configured: dropped 2 events" in caplog.messages
    assert office.deliveries.statuses().keys() == {"ci"}


async def test_what_was_taken_and_could_not_be_noted_is_delivered_again() -> None:
    office = await open_office(subscription("ci"))
    await happen(office)
    office.queue.is_full = True
    with pytest.raises(Exception, match="full"):
        await go_on(office)
    office.queue.is_full = False
    await go_on(office)
    first, second = office.listeners["ci"].messages
    assert first == second
    assert office.deliveries.statuses()["ci"].queued == 0


# By themselves.


async def test_deliveries_run_by_themselves_and_hear_of_news() -> None:
    office = await open_office(subscription("ci"))
    listener = office.listeners["ci"]
    task = asyncio.create_task(delivery_of(office).run())
    try:
        for _ in range(3):
            await office.events.announce([tag_deleted(APP, Tag("v1"))], ASKER)
            async with asyncio.timeout(20):
                await listener.bell.until(lambda: len(listener.ids) == len(office.queue.writes))
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert task.cancelled()
    await office.deliveries.close()
    assert listener.is_closed
