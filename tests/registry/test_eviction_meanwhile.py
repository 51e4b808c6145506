"""What happens between the plan of an eviction and its end."""

import pytest

from mirror.ports.metadata import MetadataError
from mirror.registry.eviction import Portions
from tests.registry.chores import PORTIONS
from tests.registry.shelf import APP, HOSTED, MANIFEST_SIZE, NGINX, REDIS, SECOND, Shelf, digest
from tests.registry.troubled_stores import TroubledFacts, TroubledStore


async def test_what_was_used_while_uses_could_not_be_written_stays(
    troubled: Shelf, facts: TroubledFacts
) -> None:
    """Between the flush and the look at it, as far as the eviction is concerned."""
    image = await troubled.put_image(NGINX, "image", {"a": 100})
    loose = await troubled.put_blob(NGINX, "loose", 100)

    async def use() -> None:
        troubled.touch(NGINX, image)
        troubled.touch(None, loose)

    troubled.touch(NGINX, digest("unknown"))
    facts.during_writes = use
    report = await troubled.evict()
    assert report.victims == ()
    assert report.kept == (("used just now", 2),)


async def test_a_manifest_used_between_plan_and_removal_stays(
    troubled: Shelf, facts: TroubledFacts
) -> None:
    used = await troubled.put_image(NGINX, "used", {"a": 100})
    await troubled.put_image(NGINX, "other", {"b": 100})

    async def use() -> None:
        troubled.clock.advance(SECOND)
        await troubled.use(NGINX, used)

    facts.before_evict = use
    report = await troubled.evict()
    assert report.freed == 100 + MANIFEST_SIZE
    assert await troubled.has(NGINX, used)
    assert await troubled.holds(digest("a", 100))
    assert await troubled.holds(used)
    assert not await troubled.holds(digest("b", 100))


async def test_a_blob_used_between_plan_and_removal_stays(
    troubled: Shelf, facts: TroubledFacts
) -> None:
    loose = await troubled.put_blob(NGINX, "loose", 100)
    await troubled.put_blob(NGINX, "other", 100)

    async def use() -> None:
        await troubled.use(None, loose)

    facts.before_deleting_blobs = use
    assert (await troubled.evict()).freed == 100
    assert await troubled.holds(loose)


async def test_a_use_that_is_not_written_keeps_what_is_planned(
    troubled: Shelf, facts: TroubledFacts
) -> None:
    """The batch before is being removed when it is used: in memory, as every use."""
    count = PORTIONS.batch + 1
    for number in range(count):
        await troubled.put_blob(NGINX, f"{number}", 10)
    last = digest(f"{count - 1}", 10)

    async def use() -> None:
        troubled.touch(None, last)

    facts.before_deleting_blobs = use
    assert (await troubled.evict()).freed == 10 * (count - 1)
    assert await troubled.holds(last)


async def test_what_a_use_has_moved_ahead_of_the_scan_is_not_taken_there(
    troubled: Shelf, facts: TroubledFacts
) -> None:
    """Rounds end while rows are still to come, so that the scan meets it a second time."""
    first = await troubled.put_image(NGINX, "first", {"a": 100})
    for number in range(PORTIONS.round):
        await troubled.put_blob(NGINX, f"{number}", 10)
    for name in "xyz":
        await troubled.put_image(REDIS, name, {})

    async def use() -> None:
        if not facts.evictions:
            await troubled.use(NGINX, first)

    facts.before_evict = use
    report = await troubled.evict()
    assert report.kept == (("used just now", 1),)
    assert await troubled.has(NGINX, first)
    assert set(await troubled.stored()) == {first, digest("a", 100)}
    assert report.freed == 10 * PORTIONS.round + 3 * MANIFEST_SIZE


async def test_more_goes_where_less_was_freed_than_planned(
    troubled: Shelf, facts: TroubledFacts
) -> None:
    used = await troubled.put_image(NGINX, "used", {"a": 100})
    for name in "bcd":
        await troubled.put_image(NGINX, name, {f"of {name}": 100})

    async def use() -> None:
        if not facts.evictions:
            await troubled.use(NGINX, used)

    facts.before_evict = use
    report = await troubled.evict(2 * 110)
    assert report.freed == 2 * 110
    assert await troubled.has(NGINX, used)
    assert await troubled.has(NGINX, digest("d"))


async def test_an_upstream_that_breaks_down_meanwhile_keeps_its_content(
    troubled: Shelf, facts: TroubledFacts
) -> None:
    """Planning takes seconds where there is much; a later batch sees what has happened."""
    troubled.portions = Portions(batch=1)
    gone = await troubled.put_image(APP, "gone", {})
    image = await troubled.put_image(NGINX, "image", {"a": 100})
    loose = await troubled.put_blob(NGINX, "loose", 100)

    async def break_down() -> None:
        troubled.frozen.add("docker.io")

    facts.before_evict = break_down
    assert (await troubled.evict()).freed == MANIFEST_SIZE
    assert not await troubled.has(APP, gone)
    assert await troubled.has(NGINX, image)
    for stays in (image, digest("a", 100), loose):
        assert await troubled.holds(stays)


async def test_an_image_pulled_meanwhile_keeps_its_layers(
    troubled: Shelf, facts: TroubledFacts
) -> None:
    await troubled.put_image(NGINX, "old", {"shared": 100})

    async def pull() -> None:
        await troubled.put_image(REDIS, "new", {"shared": 100})

    facts.before_evict = pull
    await troubled.evict()
    assert await troubled.has(REDIS, digest("new"))
    assert await troubled.holds(digest("shared", 100))


async def test_a_push_meanwhile_keeps_what_it_mounted(
    troubled: Shelf, facts: TroubledFacts
) -> None:
    await troubled.put_image(NGINX, "old", {"shared": 100})

    async def mount() -> None:
        await facts.link_blob(HOSTED, digest("shared", 100))

    facts.before_deleting_blobs = mount
    await troubled.evict()
    assert await troubled.holds(digest("shared", 100))


async def test_rows_go_before_files(troubled: Shelf, files: TroubledStore) -> None:
    image = await troubled.put_image(NGINX, "image", {"a": 100})
    seen = []

    async def look() -> None:
        seen.append(troubled.has_file(image))
        seen.append(await troubled.facts.get_stored(image) is None)
        seen.append(not await troubled.has(NGINX, image))

    files.before_delete = look
    await troubled.evict()
    assert seen == [True, True, True]


async def test_files_that_stay_are_told_and_not_counted(
    troubled: Shelf, files: TroubledStore, caplog: pytest.LogCaptureFixture
) -> None:
    await troubled.put_image(NGINX, "image", {"a": 100, "b": 50})
    files.undeletable.add(digest("a", 100))
    report = await troubled.evict()
    assert report.freed == 50 + MANIFEST_SIZE
    assert f"1 files could not be deleted, {digest('a', 100)} among them" in caplog.text
    assert troubled.statistics.total("evicted_bytes") == 50 + MANIFEST_SIZE
    assert troubled.statistics.total("evicted") == 2
    assert troubled.has_file(digest("a", 100))
    assert await troubled.facts.get_stored(digest("a", 100)) is None


@pytest.mark.parametrize("method", ["evict", "record_uses"])
async def test_a_store_that_fails_loses_nothing(
    troubled: Shelf, facts: TroubledFacts, method: str
) -> None:
    image = await troubled.put_image(NGINX, "image", {"a": 100})
    troubled.touch(None, digest("a", 100))
    facts.failing.add(method)
    with pytest.raises(MetadataError):
        await troubled.evict()
    facts.failing.clear()
    assert await troubled.has(NGINX, image)
    assert await troubled.holds(digest("a", 100))
    assert (await troubled.evict()).freed == 110
