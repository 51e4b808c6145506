"""Counters: what they say, and that they outlive the server."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.metadata.memory import MemoryMetadata
from mirror.ports.metadata import MetadataError
from mirror.registry.statistics import Result, Sample, Statistics, bytes_saved, hit_ratio
from tests.registry.troubled_stores import TroubledFacts

HUB = "docker.io"


def busy() -> Statistics:
    statistics = Statistics()
    statistics.answered(HUB, "manifest", Result.HIT)
    statistics.answered(HUB, "manifest", Result.HIT)
    statistics.answered(HUB, "blob", Result.MISS)
    statistics.answered(None, "other", Result.ERROR)
    statistics.served(HUB, "blob", Result.MISS, 100)
    statistics.served(HUB, "blob", Result.HIT, 50)
    statistics.fetched(HUB, "blob", 100)
    statistics.counted("evicted", count=3)
    return statistics


def test_every_label_has_its_own_counter() -> None:
    assert busy().samples() == [
        Sample("bytes_from_upstream", HUB, "blob", "", 100),
        Sample("bytes_served", HUB, "blob", "hit", 50),
        Sample("bytes_served", HUB, "blob", "miss", 100),
        Sample("evicted", "", "other", "", 3),
        Sample("requests", "", "other", "error", 1),
        Sample("requests", HUB, "blob", "miss", 1),
        Sample("requests", HUB, "manifest", "hit", 2),
    ]


def test_totals_are_sums_of_them() -> None:
    statistics = busy()
    assert statistics.total("requests") == 4
    assert statistics.total("requests", result=Result.HIT) == 2
    assert statistics.total("bytes_served") == 150
    assert statistics.total("unheard of") == 0
    assert statistics.by_result() == {
        Result.HIT: 2,
        Result.MISS: 1,
        Result.STALE: 0,
        Result.REVALIDATED: 0,
        Result.HOSTED: 0,
        Result.ERROR: 1,
    }


def test_what_was_saved_is_never_less_than_nothing() -> None:
    assert bytes_saved(busy().samples()) == 50
    statistics = Statistics()
    statistics.fetched(HUB, "blob", 100)
    assert bytes_saved(statistics.samples()) == 0
    assert bytes_saved([]) == 0


@pytest.mark.parametrize(
    ("results", "ratio"),
    [
        ([], 0.0),
        ([Result.MISS], 0.0),
        ([Result.HIT], 1.0),
        ([Result.HIT, Result.STALE, Result.REVALIDATED, Result.MISS], 0.75),
        ([Result.HIT, Result.MISS, Result.ERROR, Result.HOSTED], 0.5),
    ],
)
def test_the_share_of_hits(results: list[Result], ratio: float) -> None:
    assert hit_ratio({result: results.count(result) for result in Result}) == ratio


async def test_counters_survive_a_restart(facts: TroubledFacts) -> None:
    before = busy()
    await before.flush(facts)
    after = Statistics()
    await after.load(facts)
    assert after.samples() == before.samples()
    after.answered(HUB, "manifest", Result.HIT)
    await after.flush(facts)
    again = Statistics()
    await again.load(facts)
    assert again.total("requests", result=Result.HIT) == 3
    assert again.samples() == after.samples()


async def test_what_was_loaded_is_not_written_again(facts: TroubledFacts) -> None:
    await busy().flush(facts)
    after = Statistics()
    await after.load(facts)
    await after.flush(facts)
    assert len(facts.writes) == 1


async def test_each_count_is_written_once(facts: TroubledFacts) -> None:
    statistics = busy()
    await statistics.flush(facts)
    await statistics.flush(facts)
    assert len(facts.writes) == 1
    statistics.answered(HUB, "manifest", Result.HIT)
    await statistics.flush(facts)
    assert facts.writes[1] == {f"requests|{HUB}|manifest|hit": 1}
    assert (await facts.load_counters())[f"requests|{HUB}|manifest|hit"] == 3


async def test_a_store_that_fails_loses_nothing(facts: TroubledFacts) -> None:
    statistics = busy()
    facts.failing.add("add_counters")
    for _ in range(3):
        with pytest.raises(MetadataError):
            await statistics.flush(facts)
        statistics.answered(HUB, "manifest", Result.HIT)
    facts.failing.clear()
    await statistics.flush(facts)
    after = Statistics()
    await after.load(facts)
    assert after.samples() == statistics.samples()
    assert after.total("requests", result=Result.HIT) == 5


async def test_what_is_counted_while_writing_fails_is_kept_too(facts: TroubledFacts) -> None:
    statistics = busy()

    async def count_and_fail() -> None:
        statistics.answered(HUB, "manifest", Result.HIT)
        raise MetadataError

    facts.during_writes = count_and_fail
    with pytest.raises(MetadataError):
        await statistics.flush(facts)
    facts.during_writes = TroubledFacts().during_writes
    await statistics.flush(facts)
    assert (await facts.load_counters())[f"requests|{HUB}|manifest|hit"] == 3


async def test_a_write_that_is_cancelled_loses_nothing(facts: TroubledFacts) -> None:
    statistics = busy()
    begun = asyncio.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    facts.during_writes = hang
    writing = asyncio.create_task(statistics.flush(facts))
    await begun.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    facts.during_writes = TroubledFacts().during_writes
    await statistics.flush(facts)
    assert (await facts.load_counters())["evicted||other|"] == 3


@given(st.dictionaries(st.text(st.sampled_from("ab|\0é"), max_size=8), st.integers(0, 9)))
async def test_any_stored_name_is_read(stored: dict[str, int]) -> None:
    facts = MemoryMetadata()
    await facts.add_counters(stored)
    statistics = Statistics()
    await statistics.load(facts)
    assert sum(sample.value for sample in statistics.samples()) == sum(stored.values())
    statistics.answered(HUB, "manifest", Result.HIT)
    await statistics.flush(facts)
    assert await facts.load_counters() == stored | {f"requests|{HUB}|manifest|hit": 1}


async def test_a_name_of_another_shape_is_kept_as_it_is(facts: TroubledFacts) -> None:
    await facts.add_counters({"of|long|ago": 7, "requests|a|b|c|d": 1})
    statistics = Statistics()
    await statistics.load(facts)
    assert statistics.total("of|long|ago") == 7
    assert statistics.total("requests") == 0
