"""What goes to make room, in which order, and what stays."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from mirror.oci.reference import Tag
from mirror.registry.eviction import Idle, Portions, Victim
from tests.registry.shelf import (
    APP,
    EVERYTHING,
    HOSTED,
    MANIFEST_SIZE,
    NGINX,
    REDIS,
    SECOND,
    Shelf,
    digest,
    disk_shelf,
    memory_shelf,
)
from tests.registry.troubled_stores import TroubledFacts, TroubledStore
from tests.world import SettableClock

PORTIONS = Portions(round=4, batch=2, named=3, page=1)
"""Small enough for a few images to be a great many."""

A_JUMP = timedelta(days=3650)


@pytest.fixture
def shelf() -> Shelf:
    return memory_shelf()


@pytest.fixture(params=["memory", "disk"])
async def each_shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    if request.param == "memory":
        yield memory_shelf()
    else:
        async with disk_shelf(tmp_path) as shelf:
            yield shelf


@pytest.fixture
def facts() -> TroubledFacts:
    return TroubledFacts()


@pytest.fixture
def files() -> TroubledStore:
    return TroubledStore(SettableClock())


@pytest.fixture
def troubled(facts: TroubledFacts, files: TroubledStore) -> Shelf:
    return Shelf(SettableClock(), files, facts, portions=PORTIONS)


# The order.


async def test_the_least_recently_used_goes_first(shelf: Shelf) -> None:
    first = await shelf.put_image(NGINX, "first", {"a": 100})
    second = await shelf.put_image(REDIS, "second", {"b": 100})
    third = await shelf.put_image(APP, "third", {"c": 100})
    await shelf.use(NGINX, first)
    report = await shelf.evict(1)
    assert [victim.digest for victim in report.victims] == [second]
    assert await shelf.has(NGINX, first)
    assert await shelf.has(APP, third)
    assert not await shelf.holds(second)
    assert not await shelf.holds(digest("b", 100))


async def test_blobs_that_nobody_needs_go_in_the_same_order(shelf: Shelf) -> None:
    old = await shelf.put_blob(NGINX, "old", 100)
    image = await shelf.put_image(NGINX, "image", {"a": 100})
    new = await shelf.put_blob(NGINX, "new", 100)
    report = await shelf.evict()
    assert [victim.digest for victim in report.victims] == [old, image, new]
    assert report.freed == 300 + MANIFEST_SIZE
    assert await shelf.stored() == {}


async def test_an_unneeded_blob_that_was_used_is_younger(shelf: Shelf) -> None:
    old = await shelf.put_blob(NGINX, "old", 100)
    new = await shelf.put_blob(NGINX, "new", 100)
    await shelf.use(None, old)
    report = await shelf.evict(1)
    assert [victim.digest for victim in report.victims] == [new]


async def test_no_more_goes_than_is_needed(each_shelf: Shelf) -> None:
    for name in "abcde":
        await each_shelf.put_image(NGINX, name, {f"of {name}": 100})
    report = await each_shelf.evict(2 * (100 + MANIFEST_SIZE))
    assert [victim.digest for victim in report.victims] == [digest("a"), digest("b")]
    assert report.freed == report.needed
    report = await each_shelf.evict(100 + MANIFEST_SIZE + 1)
    assert [victim.digest for victim in report.victims] == [digest("c"), digest("d")]


async def test_nothing_goes_when_nothing_is_needed(shelf: Shelf) -> None:
    await shelf.put_image(NGINX, "image", {"a": 100})
    await shelf.put_blob(NGINX, "loose", 100)
    report = await shelf.evict(0)
    assert (report.freed, report.count, report.victims) == (0, 0, ())
    assert len(await shelf.stored()) == 3


async def test_a_victim_is_told_with_all_that_is_known_of_it(each_shelf: Shelf) -> None:
    image = await each_shelf.put_image(NGINX, "image", {"a": 100}, tag="1.25")
    await each_shelf.use(NGINX, image)
    used_at = each_shelf.clock.now()
    loose = await each_shelf.put_blob(NGINX, "loose", 50)
    report = await each_shelf.evict()
    assert report.victims == (
        Victim(image, 100 + MANIFEST_SIZE, used_at, NGINX, ("1.25",)),
        Victim(loose, 50, used_at + SECOND),
    )
    assert report.reason == "the test"
    assert report.needed == EVERYTHING
    assert report.kept == ()
    assert await each_shelf.facts.get_tag(NGINX, Tag("1.25")) is None


# Whole images.


async def test_a_layer_of_an_image_that_stays_stays(each_shelf: Shelf) -> None:
    await each_shelf.put_image(NGINX, "old", {"shared": 100, "old": 50})
    young = await each_shelf.put_image(REDIS, "young", {"shared": 100})
    report = await each_shelf.evict(1)
    assert report.freed == 50 + MANIFEST_SIZE
    assert await each_shelf.has(REDIS, young)
    assert await each_shelf.holds(digest("shared", 100))
    assert not await each_shelf.holds(digest("old", 50))
    assert await each_shelf.facts.get_blob(NGINX, digest("shared", 100)) is None


async def test_a_shared_layer_goes_with_the_last_image(each_shelf: Shelf) -> None:
    await each_shelf.put_image(NGINX, "one", {"shared": 100})
    await each_shelf.put_image(REDIS, "two", {"shared": 100})
    await each_shelf.put_image(APP, "three", {"shared": 100})
    report = await each_shelf.evict()
    assert [victim.size for victim in report.victims] == [10, 10, 110]
    assert report.freed == 130
    assert await each_shelf.stored() == {}


async def test_a_shared_layer_goes_with_the_last_image_of_another_pass(shelf: Shelf) -> None:
    await shelf.put_image(NGINX, "one", {"shared": 100})
    await shelf.put_image(REDIS, "two", {"shared": 100})
    assert (await shelf.evict(1)).freed == MANIFEST_SIZE
    assert await shelf.holds(digest("shared", 100))
    assert (await shelf.evict(1)).freed == 100 + MANIFEST_SIZE
    assert await shelf.stored() == {}


async def test_a_manifest_of_two_repositories_goes_with_the_second(shelf: Shelf) -> None:
    same = await shelf.put_image(NGINX, "same", {"a": 100})
    await shelf.put_image(REDIS, "same", {"a": 100})
    assert (await shelf.evict(0)).count == 0
    assert [victim.size for victim in (await shelf.evict()).victims] == [0, 110]
    assert not await shelf.holds(same)


async def test_an_index_goes_with_what_is_below_it(each_shelf: Shelf) -> None:
    amd = await each_shelf.put_image(NGINX, "amd", {"a": 100})
    arm = await each_shelf.put_image(NGINX, "arm", {"b": 100})
    index = await each_shelf.put_index(NGINX, "index", [amd, arm])
    other = await each_shelf.put_image(REDIS, "other", {"c": 100})
    await each_shelf.use(REDIS, other)
    await each_shelf.use(NGINX, index)
    await each_shelf.put_image(APP, "young", {"d": 100})
    report = await each_shelf.evict(120)
    assert {victim.digest for victim in report.victims} == {other, index, amd, arm}
    assert await each_shelf.stored() == {digest("young"): 10, digest("d", 100): 100}


async def test_of_the_same_moment_only_the_same_repository_goes_along(shelf: Shelf) -> None:
    one = await shelf.put_image(NGINX, "one", {"a": 100})
    two = await shelf.put_image(REDIS, "two", {"b": 100})
    three = await shelf.put_image(NGINX, "three", {"c": 100})
    for repository, used in ((NGINX, one), (REDIS, two), (NGINX, three)):
        shelf.touch(repository, used)
        shelf.clock.advance(-SECOND)
    await shelf.housekeeping.flush()
    report = await shelf.evict(1)
    assert {victim.digest for victim in report.victims} == {one, three}
    assert await shelf.has(REDIS, two)


async def test_a_child_that_was_pulled_by_digest_stays(shelf: Shelf) -> None:
    amd = await shelf.put_image(NGINX, "amd", {"a": 100})
    arm = await shelf.put_image(NGINX, "arm", {"b": 100})
    index = await shelf.put_index(NGINX, "index", [amd, arm])
    await shelf.use(NGINX, index)
    await shelf.use(NGINX, arm)
    report = await shelf.evict(1)
    assert {victim.digest for victim in report.victims} == {index, amd}
    assert await shelf.has(NGINX, arm)
    assert await shelf.holds(digest("b", 100))


# What stays.


async def test_hosted_content_never_goes(each_shelf: Shelf) -> None:
    ours = await each_shelf.put_image(HOSTED, "ours", {"a": 100, "shared": 50})
    loose = await each_shelf.put_blob(HOSTED, "pushed", 70)
    await each_shelf.put_image(NGINX, "theirs", {"shared": 50})
    report = await each_shelf.evict()
    assert [victim.digest for victim in report.victims] == [digest("theirs")]
    assert await each_shelf.has(HOSTED, ours)
    assert set(await each_shelf.stored()) == {ours, loose, digest("a", 100), digest("shared", 50)}


async def test_what_its_upstream_could_not_give_again_stays(each_shelf: Shelf) -> None:
    image = await each_shelf.put_image(NGINX, "image", {"a": 100, "shared": 50})
    loose = await each_shelf.put_blob(NGINX, "loose", 100)
    other = await each_shelf.put_image(APP, "other", {"b": 100, "shared": 50})
    each_shelf.frozen.add("docker.io")
    report = await each_shelf.evict()
    assert [victim.digest for victim in report.victims] == [other]
    assert report.kept == (("docker.io could not give it again now", 2),)
    for stays in (image, loose, digest("a", 100), digest("shared", 50)):
        assert await each_shelf.holds(stays)
    each_shelf.frozen.clear()
    assert (await each_shelf.evict()).kept == ()
    assert await each_shelf.stored() == {}


async def test_every_reason_is_counted(shelf: Shelf) -> None:
    await shelf.put_image(NGINX, "nginx", {"a": 100})
    await shelf.put_image(APP, "app", {"b": 100})
    await shelf.put_image(APP, "app 2", {"c": 100})
    shelf.frozen.update(("docker.io", "ghcr.io"))
    assert (await shelf.evict()).kept == (
        ("docker.io could not give it again now", 1),
        ("ghcr.io could not give it again now", 2),
    )


async def test_what_is_kept_though_younger_than_the_victims_is_not_counted(shelf: Shelf) -> None:
    await shelf.put_image(APP, "app", {"a": 100})
    await shelf.put_image(NGINX, "nginx", {"b": 100})
    shelf.frozen.add("docker.io")
    assert (await shelf.evict(1)).kept == ()


async def test_what_is_in_use_stays(shelf: Shelf) -> None:
    image = await shelf.put_image(NGINX, "image", {"a": 100})
    loose = await shelf.put_blob(NGINX, "loose", 100)
    filled = await shelf.put_blob(NGINX, "filled", 100)
    shelf.filling.add(filled)
    with shelf.using.hold(digest("a", 100)), shelf.using.hold(loose):
        report = await shelf.evict()
    assert report.victims == ()
    assert report.kept == (("in use", 3),)
    shelf.filling.clear()
    assert (await shelf.evict()).count == 3
    assert not await shelf.has(NGINX, image)


async def test_one_more_protection_is_one_more_function(shelf: Shelf) -> None:
    pinned = await shelf.put_image(NGINX, "pinned", {"a": 100}, tag="1.25")
    await shelf.put_image(NGINX, "other", {"b": 100}, tag="1.24")

    def pin(idle: Idle) -> str | None:
        return "pinned by the release team" if "1.25" in getattr(idle, "tags", ()) else None

    shelf.more_protections = (pin,)
    report = await shelf.evict()
    assert [victim.digest for victim in report.victims] == [digest("other")]
    assert report.kept == (("pinned by the release team", 1),)
    assert await shelf.has(NGINX, pinned)
    assert await shelf.holds(digest("a", 100))


# Looking without touching.


async def fill_with_everything(shelf: Shelf) -> None:
    await shelf.put_image(NGINX, "one", {"shared": 100, "a": 50}, tag="1")
    await shelf.put_image(APP, "frozen", {"shared": 100, "b": 40}, tag="2")
    two = await shelf.put_image(REDIS, "two", {"shared": 100, "c": 30})
    await shelf.put_index(REDIS, "index", [two], tag="3")
    await shelf.put_blob(REDIS, "loose", 20)
    await shelf.put_image(HOSTED, "ours", {"c": 30, "d": 10}, tag="4")
    await shelf.put_image(NGINX, "young", {"a": 50, "e": 60})
    shelf.frozen.add("ghcr.io")


@pytest.mark.parametrize("needed", [0, 1, 100, EVERYTHING])
async def test_a_dry_run_says_what_the_real_one_does(each_shelf: Shelf, needed: int) -> None:
    await fill_with_everything(each_shelf)
    planned = await each_shelf.evict(needed, dry_run=True)
    before = await each_shelf.stored()
    done = await each_shelf.evict(needed)
    assert planned.dry_run
    assert not done.dry_run
    assert planned.victims == done.victims
    assert (planned.freed, planned.count, planned.kept, planned.reason, planned.needed) == (
        done.freed,
        done.count,
        done.kept,
        done.reason,
        done.needed,
    )
    after = await each_shelf.stored()
    assert sum(before.values()) - sum(after.values()) == done.freed


async def test_a_dry_run_changes_nothing(each_shelf: Shelf) -> None:
    await fill_with_everything(each_shelf)
    await each_shelf.housekeeping.flush()

    async def everything() -> object:
        return (
            await each_shelf.facts.list_idle_manifests(None, 100),
            await each_shelf.facts.list_idle_blobs(None, 100),
            await each_shelf.facts.list_images(None, None, 100),
            await each_shelf.facts.totals(),
            await each_shelf.facts.load_counters(),
            await each_shelf.stored(),
            each_shelf.statistics.samples(),
        )

    before = await everything()
    assert (await each_shelf.evict(dry_run=True)).count
    await each_shelf.housekeeping.flush()
    assert await everything() == before


async def test_counters_tell_what_went(shelf: Shelf) -> None:
    await shelf.put_image(NGINX, "image", {"a": 100})
    await shelf.evict()
    assert shelf.statistics.total("evicted_bytes") == 110
    assert shelf.statistics.total("evicted") == 2


# A great many.


async def test_more_than_a_round_and_a_batch_go_in_several_transactions(
    troubled: Shelf, facts: TroubledFacts
) -> None:
    count = PORTIONS.round + PORTIONS.batch + 1
    for number in range(count):
        await troubled.put_blob(NGINX, f"{number}", 10)
    planned = await troubled.evict(dry_run=True)
    assert facts.evictions == []
    report = await troubled.evict()
    assert report.count == planned.count == count
    assert len(report.victims) == PORTIONS.named
    assert report.victims == planned.victims
    assert report.freed == planned.freed == 10 * count
    assert max(blobs for _, blobs in facts.evictions) == PORTIONS.batch
    assert sum(blobs for _, blobs in facts.evictions) == count
    assert await troubled.stored() == {}


@pytest.mark.parametrize("round_", range(1, 8))
async def test_layers_are_shared_across_rounds(shelf: Shelf, round_: int) -> None:
    shelf.portions = Portions(round=round_, batch=1, page=1)
    await shelf.put_image(NGINX, "first", {"shared": 100, "a": 5})
    for number in range(3):
        await shelf.put_blob(NGINX, f"{number}", 10)
    await shelf.put_image(REDIS, "last", {"shared": 100})
    planned = await shelf.evict(dry_run=True)
    report = await shelf.evict()
    assert report.freed == planned.freed == 2 * MANIFEST_SIZE + 105 + 30
    assert report.victims == planned.victims
    assert await shelf.stored() == {}


@pytest.mark.parametrize("round_", range(1, 5))
async def test_the_end_of_a_round_does_not_part_an_index_from_its_children(
    shelf: Shelf, round_: int
) -> None:
    shelf.portions = Portions(round=round_, batch=1, page=1)
    amd = await shelf.put_image(NGINX, "amd", {"a": 100})
    arm = await shelf.put_image(NGINX, "arm", {"b": 100})
    index = await shelf.put_index(NGINX, "index", [amd, arm])
    await shelf.use(NGINX, index)
    await shelf.put_image(NGINX, "young", {"c": 100})
    assert (await shelf.evict(1)).count == 3
    assert await shelf.has(NGINX, digest("young"))


# Clocks.


@pytest.mark.parametrize("jump", [A_JUMP, -A_JUMP])
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
    shelf.clock.jump(-A_JUMP)
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
    shelf.clock.jump(A_JUMP)
    await shelf.put_image(NGINX, "from the future", {"c": 100})
    shelf.clock.jump(-A_JUMP)

    async def use() -> None:
        if not facts.evictions:
            await shelf.use(NGINX, used)

    facts.before_evict = use
    assert (await shelf.evict()).freed == 220
    assert await shelf.has(NGINX, used)
    assert await shelf.holds(digest("a", 100))


@pytest.mark.parametrize("jump", [A_JUMP, -A_JUMP])
async def test_after_a_jump_everything_may_still_go(shelf: Shelf, jump: timedelta) -> None:
    await shelf.put_image(NGINX, "before", {"a": 100})
    await shelf.put_blob(NGINX, "loose", 100)
    shelf.clock.jump(jump)
    await shelf.put_image(REDIS, "after", {"b": 100})
    await shelf.evict()
    assert await shelf.stored() == {}


async def test_a_recorded_size_is_what_counts(shelf: Shelf) -> None:
    """A row without its file frees what it said, and does no harm."""
    image = await shelf.put_image(NGINX, "image", {"a": 100})
    await shelf.store.delete(digest("a", 100))
    assert (await shelf.evict()).freed == 110
    assert not await shelf.has(NGINX, image)
    assert await shelf.facts.get_blob(NGINX, digest("a", 100)) is None
    assert (await shelf.facts.totals()).bytes == 0
