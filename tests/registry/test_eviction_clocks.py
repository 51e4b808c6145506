"""Clocks that jump: the order may be wrong afterwards, what goes is never too much."""

from datetime import timedelta

import pytest

from tests.registry.chores import TEN_YEARS
from tests.registry.shelf import NGINX, REDIS, Shelf, digest
from tests.registry.troubled_stores import TroubledFacts, TroubledStore
from tests.world import SettableClock


@pytest.mark.parametrize("jump", [TEN_YEARS, -TEN_YEARS])
async def test_a_clock_that_jumps_changes_nothing(each_shelf: Shelf, jump: timedelta) -> None:
    for name in "abc":
        await each_shelf.put_image(NGINX, name, {f"of {name}": 100})
    each_shelf.clock.jump(jump)
    assert (await each_shelf.evict(0)).count == 0
    report = await each_shelf.evict(1)
    assert [victim.digest for victim in report.victims] == [digest("a")]
    assert report.freed == 110
    assert await each_shelf.has(NGINX, digest("b"))
    assert await each_shelf.has(NGINX, digest("c"))


async def test_a_clock_that_is_set_back_takes_no_more_than_is_needed(shelf: Shelf) -> None:
    """Layers are used after their manifest: what takes only that takes all of them."""
    for name in "abcd":
        await shelf.put_image(NGINX, name, {f"of {name}": 100})
    shelf.clock.jump(-TEN_YEARS)
    recent = await shelf.put_image(REDIS, "recent", {"r": 100})
    report = await shelf.evict(330)
    assert [victim.digest for victim in report.victims] == [recent, digest("a"), digest("b")]
    assert report.freed == 330


async def test_a_use_keeps_what_goes_along_with_times_from_a_wrong_clock(
    facts: TroubledFacts, files: TroubledStore
) -> None:
    shelf = Shelf(SettableClock(), files, facts)
    used = await shelf.put_image(NGINX, "used", {"a": 100})
    await shelf.put_image(NGINX, "other", {"b": 100})
    shelf.clock.jump(TEN_YEARS)
    await shelf.put_image(NGINX, "from the future", {"c": 100})
    shelf.clock.jump(-TEN_YEARS)

    async def use() -> None:
        if not facts.evictions:
            await shelf.use(NGINX, used)

    facts.before_evict = use
    assert (await shelf.evict()).freed == 220
    assert await shelf.has(NGINX, used)
    assert await shelf.holds(digest("a", 100))


@pytest.mark.parametrize("jump", [TEN_YEARS, -TEN_YEARS])
async def test_after_a_jump_everything_may_still_go(shelf: Shelf, jump: timedelta) -> None:
    await shelf.put_image(NGINX, "before", {"a": 100})
    await shelf.put_blob(NGINX, "loose", 100)
    shelf.clock.jump(jump)
    await shelf.put_image(REDIS, "after", {"b": 100})
    await shelf.evict()
    assert await shelf.stored() == {}
