"""The loops go on whatever fails, until they are cancelled."""

from datetime import timedelta

import pytest

from mirror.ports.metadata import Use
from mirror.registry.housekeeping import HOPELESS, UNRECORDED
from mirror.registry.statistics import Result
from tests.registry.chores import HASTY, SPARING, going_on, store, until
from tests.registry.shelf import NGINX, Shelf, digest
from tests.registry.troubled_stores import TroubledFacts, TroubledStore
from tests.registry.workbench import HUB, settle


async def test_limits_are_kept_though_facts_fail_for_a_while(
    tight: Shelf, facts: TroubledFacts, caplog: pytest.LogCaptureFixture
) -> None:
    facts.failing.update(("totals", "evict"))
    async with going_on(tight.housekeeping.keep_limits):
        await settle()
        assert "adding up what is stored failed: totals cannot be done" in caplog.text
        await store(tight, *"abcdefghijk")
        await settle()
        assert "evicting failed: totals cannot be done" in caplog.text
        facts.failing.remove("totals")
        tight.housekeeping.added(0)
        await settle()
        assert "evicting failed: evict cannot be done" in caplog.text
        facts.failing.clear()
        tight.housekeeping.added(0)
        await settle()
    assert len(await tight.stored()) == 6


async def test_limits_are_kept_though_the_store_fails_for_a_while(
    tight: Shelf, files: TroubledStore, caplog: pytest.LogCaptureFixture
) -> None:
    files.failing.add("space")
    async with going_on(tight.housekeeping.keep_limits):
        await settle()
        assert "evicting failed: space cannot be done" in caplog.text
        files.failing.clear()
        await store(tight, *"abcdefghijk")
        await settle()
    assert len(await tight.stored()) == 6


async def test_what_nobody_thought_of_ends_no_loop(
    tight: Shelf, facts: TroubledFacts, caplog: pytest.LogCaptureFixture
) -> None:
    async def surprise() -> None:
        facts.during_totals = TroubledFacts().during_totals
        raise ZeroDivisionError

    facts.during_totals = surprise
    async with going_on(tight.housekeeping.keep_limits):
        await settle()
        assert "adding up what is stored failed" in caplog.text
        await store(tight, *"abcdefghijk")
        await settle()
    assert len(await tight.stored()) == 6


async def test_stored_blobs_begin_no_eviction_where_nothing_is_to_be_had(
    tight: Shelf, facts: TroubledFacts
) -> None:
    tight.frozen.add("docker.io")
    async with going_on(tight.housekeeping.keep_limits):
        await settle()
        await store(tight, *"abcdefghijk")
        await settle()
        counted = facts.counted
        await store(tight, *"lmnop")
        await settle()
        assert facts.counted == counted
        tight.frozen.clear()
        tight.clock.advance(timedelta(seconds=HOPELESS))
        await store(tight, "q")
        await settle()
    assert len(await tight.stored()) == 6


async def test_limits_are_looked_at_when_nobody_asks(sparing: Shelf, files: TroubledStore) -> None:
    """Somebody else fills the disk."""
    hasty = Shelf(sparing.clock, files, sparing.facts, SPARING, pace=HASTY)
    await store(sparing, *"abcde")
    async with going_on(hasty.housekeeping.keep_limits):
        await settle()
        assert len(await sparing.stored()) == 5
        files.free = 800
        await until(lambda: not sparing.has_file(digest("b", 100)))
    assert set(await sparing.stored()) == {digest(name, 100) for name in "cde"}


async def test_cleaning_goes_on_though_the_store_fails(
    hasty: Shelf, files: TroubledStore, facts: TroubledFacts, caplog: pytest.LogCaptureFixture
) -> None:
    left = await hasty.put_blob(NGINX, "left", 100, recorded=False)
    await hasty.put_blob(NGINX, "kept", 100)
    hasty.clock.advance(2 * UNRECORDED)
    files.failing.add("list_blobs")
    async with going_on(hasty.housekeeping.keep_clean):
        await until(lambda: facts.counted > 1)
        assert "removing abandoned files failed: list_blobs cannot be done" in caplog.text
        files.failing.clear()
        await until(lambda: not hasty.has_file(left))


async def test_counting_goes_on_though_facts_fail(
    hasty: Shelf, facts: TroubledFacts, caplog: pytest.LogCaptureFixture
) -> None:
    hasty.touch(NGINX, digest("m"))
    used_at = hasty.clock.now()
    facts.failing.add("record_uses")
    async with going_on(hasty.housekeeping.keep_counts):
        await until(lambda: len(caplog.records) > 1)
        assert "writing uses and counters failed: record_uses cannot be done" in caplog.text
        assert facts.writes == []
        facts.failing.clear()
        await until(lambda: bool(facts.writes))
        hasty.statistics.answered(HUB, "manifest", Result.HIT)
        await until(lambda: len(facts.writes) > 1)
    assert facts.writes == [
        {Use(NGINX, digest("m")): used_at},
        {"requests|docker.io|manifest|hit": 1},
    ]
