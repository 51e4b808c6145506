"""Looking without touching: a dry run says what would go, and nothing goes."""

import pytest

from tests.registry.shelf import APP, EVERYTHING, HOSTED, NGINX, REDIS, Shelf


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


async def test_a_layer_that_a_hosted_repository_links_frees_nothing(each_shelf: Shelf) -> None:
    """Pushed or mounted, and its manifest has yet to come."""
    await each_shelf.put_blob(HOSTED, "a", 100)
    await each_shelf.put_image(NGINX, "one", {"a": 100, "b": 30})
    planned = await each_shelf.evict(dry_run=True)
    done = await each_shelf.evict()
    assert planned.victims == done.victims
    assert planned.freed == done.freed > 0
    assert list((await each_shelf.stored()).values()) == [100]


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
