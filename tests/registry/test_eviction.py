"""What goes to make room, and in which order."""

from mirror.oci.reference import Tag
from mirror.registry.eviction import Victim
from tests.registry.shelf import APP, EVERYTHING, MANIFEST_SIZE, NGINX, REDIS, SECOND, Shelf, digest

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


async def test_counters_tell_what_went(shelf: Shelf) -> None:
    await shelf.put_image(NGINX, "image", {"a": 100})
    await shelf.evict()
    assert shelf.statistics.total("evicted_bytes") == 110
    assert shelf.statistics.total("evicted") == 2


async def test_a_recorded_size_is_what_counts(shelf: Shelf) -> None:
    """A row without its file frees what it said, and does no harm."""
    image = await shelf.put_image(NGINX, "image", {"a": 100})
    await shelf.store.delete(digest("a", 100))
    assert (await shelf.evict()).freed == 110
    assert not await shelf.has(NGINX, image)
    assert await shelf.facts.get_blob(NGINX, digest("a", 100)) is None
    assert (await shelf.facts.totals()).bytes == 0


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
