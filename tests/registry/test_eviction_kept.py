"""What stays however much room is needed, and the reason that is given for it."""

from mirror.registry.eviction import Idle
from tests.registry.shelf import APP, HOSTED, NGINX, Shelf, digest


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
