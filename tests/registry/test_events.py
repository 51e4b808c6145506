"""Who hears of what, and that a change is answered only once its events are safe."""

import asyncio
from datetime import timedelta

import pytest

from mirror.oci.digest import Digest, digest_of
from mirror.oci.manifest import Descriptor
from mirror.oci.media_type import OCI_MANIFEST
from mirror.oci.reference import RepositoryName, Tag
from mirror.ports.events import Asker, Event, EventAction, Target
from mirror.ports.metadata import BlobRecord, MetadataError, TagRecord
from mirror.ports.repository import Repository
from mirror.registry.events import MOST_GATHERED, PORTION
from mirror.registry.happenings import (
    Happening,
    Move,
    blob_deleted,
    blob_mounted,
    blob_pulled,
    blob_pushed,
    manifest_deleted,
    manifest_pulled,
    manifest_pushed,
    tag_deleted,
)
from tests.registry.listeners import SOURCE, Office, open_office, subscription
from tests.world import START

APP = Repository(None, RepositoryName("team/app"))
NGINX = Repository("docker.io", RepositoryName("library/nginx"))
IMAGE = Descriptor(OCI_MANIFEST, digest_of(b"image"), 5)
NEW = Descriptor(OCI_MANIFEST, digest_of(b"new"), 3)
LAYER = BlobRecord(digest_of(b"layer"), 5)
ASKER = Asker("r1", "192.0.2.7:40000", "mirror.lan:5000", "PUT", "docker/29")
V1 = Tag("v1")
MOVE = Move(NGINX, V1, TagRecord(IMAGE, START), NEW)

PUSH, PULL = frozenset({EventAction.PUSH}), frozenset({EventAction.PULL})


async def heard(office: Office, endpoint: str = "ci") -> list[Event]:
    return [queued.event for queued in await office.queue.take(endpoint, 10_000)]


async def test_an_event_tells_what_happened_when_and_who_asked() -> None:
    office = await open_office(subscription("ci"))
    await office.events.announce(manifest_pushed(APP, IMAGE, [V1]), ASKER)
    [event] = await heard(office)
    target = Target(APP, "manifest", IMAGE.digest, OCI_MANIFEST, 5, V1)
    assert event == Event(event.id, START, EventAction.PUSH, target, ASKER, SOURCE)


@pytest.mark.parametrize(
    ("happening", "action", "target"),
    [
        (
            manifest_pulled(NGINX, IMAGE, None),
            EventAction.PULL,
            Target(NGINX, "manifest", IMAGE.digest, OCI_MANIFEST, 5),
        ),
        (
            manifest_deleted(APP, IMAGE.digest),
            EventAction.DELETE,
            Target(APP, "manifest", IMAGE.digest),
        ),
        (tag_deleted(APP, V1), EventAction.DELETE, Target(APP, "manifest", tag=V1)),
        (
            blob_pushed(APP, LAYER),
            EventAction.PUSH,
            Target(APP, "blob", LAYER.digest, "application/octet-stream", 5),
        ),
        (
            blob_pulled(NGINX, LAYER),
            EventAction.PULL,
            Target(NGINX, "blob", LAYER.digest, "application/octet-stream", 5),
        ),
        (
            blob_mounted(APP, LAYER, NGINX),
            EventAction.MOUNT,
            Target(APP, "blob", LAYER.digest, "application/octet-stream", 5, lender=NGINX),
        ),
        (blob_deleted(APP, LAYER.digest), EventAction.DELETE, Target(APP, "blob", LAYER.digest)),
    ],
)
async def test_every_change_has_its_event(
    happening: Happening, action: EventAction, target: Target
) -> None:
    office = await open_office(subscription("ci"))
    await office.events.announce([happening], ASKER)
    assert [(event.action, event.target) for event in await heard(office)] == [(action, target)]


async def test_a_push_to_several_tags_is_an_event_for_each() -> None:
    office = await open_office(subscription("ci"))
    await office.events.announce(manifest_pushed(APP, IMAGE, [V1, Tag("latest")]), ASKER)
    await office.events.announce(manifest_pushed(APP, IMAGE, []), ASKER)
    events = await heard(office)
    assert [event.target.tag for event in events] == [V1, Tag("latest"), None]
    assert len({event.id for event in events}) == 3


async def test_a_move_tells_both_digests_and_has_one_id_for_ever() -> None:
    office = await open_office(subscription("ci"))
    await office.events.moved(MOVE)
    office.clock.advance(timedelta(hours=1))
    await office.events.moved(MOVE)
    later = TagRecord(IMAGE, START + timedelta(hours=2))
    await office.events.moved(Move(NGINX, V1, later, NEW))
    first, second, third = await heard(office)
    assert (first.action, first.asker) == (EventAction.MOVED, None)
    assert first.target == Target(
        NGINX, "manifest", NEW.digest, OCI_MANIFEST, 3, V1, previous=IMAGE.digest
    )
    assert first.id == second.id != third.id


@pytest.mark.parametrize(
    ("patterns", "repository", "hears"),
    [
        (("**",), NGINX, True),
        (("docker.io/library/*",), NGINX, True),
        (("library/*",), NGINX, False),
        (("team/*",), APP, True),
        (("other", "team/app"), APP, True),
        (("*",), APP, False),
    ],
)
async def test_an_endpoint_hears_of_the_repositories_it_named(
    patterns: tuple[str, ...], repository: Repository, *, hears: bool
) -> None:
    office = await open_office(subscription("ci", *patterns))
    for _ in range(2):
        await office.events.announce(manifest_pushed(repository, IMAGE, []), ASKER)
    assert len(await heard(office)) == (2 if hears else 0)
    assert office.events.wants_pulls(repository) is hears


async def test_an_endpoint_hears_of_the_actions_it_named() -> None:
    office = await open_office(
        subscription("ci", actions=PUSH),
        subscription("moves", actions=frozenset({EventAction.MOVED})),
    )
    await office.events.announce(manifest_pushed(APP, IMAGE, []), ASKER)
    await office.events.announce([manifest_deleted(APP, IMAGE.digest)], ASKER)
    await office.events.moved(MOVE)
    assert [event.action for event in await heard(office)] == [EventAction.PUSH]
    assert [event.action for event in await heard(office, "moves")] == [EventAction.MOVED]
    assert not office.events.gathers


async def test_what_nobody_wants_to_hear_is_not_written() -> None:
    office = await open_office(subscription("ci", "other", actions=PUSH))
    await office.events.announce(manifest_pushed(APP, IMAGE, []), ASKER)
    await office.events.moved(MOVE)
    await office.events.flush()
    assert office.queue.writes == []


async def test_a_change_whose_events_cannot_be_kept_is_not_acknowledged() -> None:
    office = await open_office(subscription("ci"))
    office.queue.is_full = True
    with pytest.raises(MetadataError):
        await office.events.announce(manifest_pushed(APP, IMAGE, []), ASKER)
    with pytest.raises(MetadataError):
        await office.events.moved(MOVE)


# Pulls.


def pull(office: Office, count: int = 1) -> None:
    for _ in range(count):
        office.events.pulled(manifest_pulled(NGINX, IMAGE, V1), ASKER)


async def test_pulls_are_gathered_and_written_together() -> None:
    office = await open_office(subscription("ci", actions=PULL), subscription("audit"))
    pull(office, 3)
    assert office.queue.writes == []
    await office.events.flush()
    assert office.queue.writes == [6]
    assert [event.action for event in await heard(office)] == [EventAction.PULL] * 3
    await office.events.flush()
    assert office.queue.writes == [6]


async def test_a_change_comes_after_the_pulls_before_it() -> None:
    office = await open_office(subscription("ci"))
    pull(office, 2)
    await office.events.announce([tag_deleted(APP, V1)], ASKER)
    pull(office)
    await office.events.flush()
    assert [event.action.value for event in await heard(office)] == [
        *("pull", "pull", "delete", "pull")
    ]


async def test_many_pulls_are_written_in_portions_and_keep_their_order() -> None:
    office = await open_office(subscription("ci", capacity=10_000))
    pull(office, 2 * PORTION + 1)
    gathered = [each.event.id for each in office.events.gathered]
    await office.events.announce([tag_deleted(APP, V1)], ASKER)
    assert office.queue.writes == [PORTION, PORTION, 2]
    assert (await office.waiting("ci"))[:-1] == gathered


async def test_a_flood_of_pulls_is_bounded_and_what_is_missed_is_counted() -> None:
    office = await open_office(subscription("ci", capacity=100_000))
    pull(office, MOST_GATHERED + 7)
    await office.events.flush()
    assert len(await heard(office)) == MOST_GATHERED
    assert office.counted("webhook_dropped") == {"ci": 7}
    pull(office)
    await office.events.flush()
    assert len(await heard(office)) == MOST_GATHERED + 1


async def test_pulls_that_cannot_be_written_are_written_later_once() -> None:
    office = await open_office(subscription("ci"))
    pull(office, 2)
    office.queue.is_full = True
    await office.events.flush_or_tell()
    pull(office)
    office.queue.is_full = False
    await office.events.flush_or_tell()
    assert len(await heard(office)) == 3
    assert len({event.id for event in await heard(office)}) == 3


async def test_everything_at_once_is_written_once() -> None:
    office = await open_office(subscription("ci", capacity=10_000))
    pull(office, 3)
    changes = [office.events.announce([tag_deleted(APP, V1)], ASKER) for _ in range(20)]
    await asyncio.gather(*changes, *(office.events.flush() for _ in range(5)))
    assert len(await heard(office)) == 23


async def begun(office: Office, *digests: Digest) -> list[asyncio.Task[None]]:
    """Deletions of these, as far as each gets by itself."""
    tasks = [
        asyncio.create_task(office.events.announce([manifest_deleted(APP, digest)], ASKER))
        for digest in digests
    ]
    await asyncio.sleep(0)
    return tasks


def digest(number: int) -> Digest:
    return digest_of(str(number).encode())


async def test_who_waits_for_a_write_shares_the_next_one_in_order() -> None:
    office = await open_office(subscription("ci"))
    office.queue.gate.clear()
    tasks = await begun(office, *map(digest, range(20)))
    pull(office)
    office.queue.gate.set()
    await asyncio.gather(*tasks)
    assert office.queue.writes == [1, 20]
    deleted = [event.target.digest for event in await heard(office)]
    assert deleted == [*map(digest, range(20)), IMAGE.digest]


async def test_who_leaves_while_others_write_takes_nothing_with_him() -> None:
    """Whether what he wanted to be told is told is up to the moment; all others are, once."""
    office = await open_office(subscription("ci"))
    office.queue.gate.clear()
    first, second, third = await begun(office, *map(digest, range(3)))
    second.cancel()
    await asyncio.wait({second})
    first.cancel()
    await asyncio.wait({first})
    (fourth,) = await begun(office, digest(3))
    office.queue.gate.set()
    await asyncio.gather(third, fourth)
    told = [event.target.digest for event in await heard(office)]
    assert [each for each in told if each in {digest(2), digest(3)}] == [digest(2), digest(3)]
    assert office.events.gathered == []


async def test_who_cannot_be_served_is_told_and_the_next_one_is_not_held_up() -> None:
    office = await open_office(subscription("ci"))
    office.queue.gate.clear()
    tasks = await begun(office, *map(digest, range(3)))
    office.queue.is_full = True
    office.queue.gate.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [MetadataError] * 3
    office.queue.is_full = False
    await office.events.announce([manifest_deleted(APP, digest(3))], ASKER)
    assert [event.target.digest for event in await heard(office)] == [digest(3)]


async def test_what_was_gathered_is_written_soon() -> None:
    office = await open_office(subscription("ci"))
    pull(office)
    flushing = asyncio.create_task(office.events.keep_flushing(pause=0))
    try:
        async with asyncio.timeout(20):
            await office.queue.bell.until(lambda: office.queue.writes == [1])
    finally:
        flushing.cancel()
        await asyncio.wait({flushing})
    assert len(await heard(office)) == 1
