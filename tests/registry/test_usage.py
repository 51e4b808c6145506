"""Uses in memory, until they are written."""

import asyncio
from datetime import timedelta

import pytest

from mirror.ports.metadata import MetadataError, Use
from mirror.registry.usage import Usage
from tests.conformance.metadata import NGINX, REDIS, digest, manifest, put_image
from tests.registry.troubled_stores import TroubledFacts
from tests.world import START, SettableClock

SECOND = timedelta(seconds=1)
OF_NGINX = Use(NGINX, digest("m"))
OF_REDIS = Use(REDIS, digest("m"))
OF_BLOB = Use(None, digest("m"))


@pytest.fixture
def usage(clock: SettableClock) -> Usage:
    return Usage(clock)


async def test_a_use_is_known_until_it_is_written(usage: Usage, facts: TroubledFacts) -> None:
    assert OF_NGINX not in usage
    usage.touch(OF_NGINX)
    assert OF_NGINX in usage
    assert OF_REDIS not in usage
    assert OF_BLOB not in usage
    assert len(usage) == 1
    await usage.flush(facts)
    assert OF_NGINX not in usage
    assert facts.writes == [{OF_NGINX: START}]


async def test_only_the_last_of_many_uses_is_written(
    usage: Usage, facts: TroubledFacts, clock: SettableClock
) -> None:
    for _ in range(1000):
        clock.advance(SECOND)
        usage.touch(OF_NGINX)
        usage.touch(OF_BLOB)
    assert len(usage) == 2
    await usage.flush(facts)
    assert facts.writes == [{OF_NGINX: START + 1000 * SECOND, OF_BLOB: START + 1000 * SECOND}]


async def test_nothing_is_written_when_nothing_was_used(usage: Usage, facts: TroubledFacts) -> None:
    await usage.flush(facts)
    usage.touch(OF_NGINX)
    await usage.flush(facts)
    await usage.flush(facts)
    assert len(facts.writes) == 1


async def test_a_store_that_fails_loses_nothing(
    usage: Usage, facts: TroubledFacts, clock: SettableClock
) -> None:
    usage.touch(OF_NGINX)
    facts.failing.add("record_uses")
    for _ in range(3):
        with pytest.raises(MetadataError):
            await usage.flush(facts)
    assert OF_NGINX in usage
    clock.advance(SECOND)
    usage.touch(OF_REDIS)
    facts.failing.clear()
    await usage.flush(facts)
    assert facts.writes == [{OF_NGINX: START, OF_REDIS: START + SECOND}]


async def test_a_use_while_writing_fails_is_the_later_one(
    usage: Usage, facts: TroubledFacts, clock: SettableClock
) -> None:
    async def use_and_fail() -> None:
        clock.advance(SECOND)
        usage.touch(OF_NGINX)
        raise MetadataError

    usage.touch(OF_NGINX)
    usage.touch(OF_BLOB)
    facts.during_writes = use_and_fail
    with pytest.raises(MetadataError):
        await usage.flush(facts)
    facts.during_writes = TroubledFacts().during_writes
    await usage.flush(facts)
    assert facts.writes == [{OF_NGINX: START + SECOND, OF_BLOB: START}]


async def test_a_write_that_is_cancelled_loses_nothing(usage: Usage, facts: TroubledFacts) -> None:
    begun = asyncio.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    usage.touch(OF_NGINX)
    facts.during_writes = hang
    writing = asyncio.create_task(usage.flush(facts))
    await begun.wait()
    assert OF_NGINX not in usage
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert OF_NGINX in usage


async def test_uses_are_what_the_store_says_afterwards(
    usage: Usage, facts: TroubledFacts, clock: SettableClock
) -> None:
    await put_image(facts, NGINX, "m", [], 0)
    clock.advance(timedelta(days=10))
    usage.touch(OF_NGINX)
    await usage.flush(facts)
    (idle,), _ = await facts.list_idle_manifests(None, 10)
    assert idle.descriptor == manifest("m")
    assert idle.last_used_at == clock.now()
