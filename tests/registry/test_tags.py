"""Lists of tags: asked for once, in pages of our own, and what is known without the upstream."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.errors import NameUnknown, OCIError, TooManyRequests, Unavailable, UpstreamFault
from mirror.oci.page import Page
from mirror.oci.reference import RepositoryName, Tag
from mirror.ports.metadata import TagRecord
from mirror.ports.repository import Repository
from mirror.ports.upstream import (
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamInvalid,
    UpstreamThrottled,
    UpstreamUnreachable,
)
from mirror.registry.answer import Handling, TagsAnswer
from mirror.registry.recent_lists import LIFETIME
from mirror.registry.routing import Approach, Route
from mirror.registry.statistics import Result
from mirror.registry.tags import STEP
from tests.registry.scripted_upstream import ScriptedUpstream, manifest_of
from tests.registry.workbench import (
    DIRECT,
    HUB,
    MIRROR,
    NAME,
    NGINX,
    TO_REDIS,
    Habits,
    Workbench,
    memory_ground,
    set_up,
    settle,
)
from tests.simulated_hub import make_image

ALL = Page(None, None)
FRESH = Handling(Result.MISS, ttl=60)
TROUBLE = [
    UpstreamUnreachable("docker.io: no answer"),
    UpstreamThrottled("docker.io: too many", 7),
    UpstreamFailed("docker.io: 500"),
    UpstreamInvalid("docker.io: html"),
    UpstreamDenied("docker.io: not for us"),
]


@pytest.fixture
async def bench(hub_upstream: ScriptedUpstream) -> AsyncIterator[Workbench]:
    bench = set_up(memory_ground(), {HUB: hub_upstream})
    yield bench
    await bench.close()


def listed(upstream: ScriptedUpstream, *texts: str) -> None:
    upstream.tag_lists[NAME] = tuple(map(Tag, texts))


def texts(answer: TagsAnswer) -> list[str]:
    return [tag.value for tag in answer.tags]


async def hold(bench: Workbench, *tags: str) -> None:
    manifest = manifest_of(make_image(layers=[b"held"]))
    await bench.facts.put_manifest(NGINX, manifest.descriptor, None, bench.clock.now())
    for tag in tags:
        record = TagRecord(manifest.descriptor, bench.clock.now())
        await bench.facts.put_tag(NGINX, Tag(tag), record)


def pass_by(bench: Workbench, seconds: float) -> None:
    bench.clock.advance(timedelta(seconds=seconds))


async def test_the_upstreams_list_in_order_and_each_once(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    listed(hub_upstream, "b", "B", "a", "1.9", "1.10", "a")
    answer = await bench.tags.list(MIRROR, ALL)
    assert texts(answer) == ["1.10", "1.9", "B", "a", "b"]
    assert (answer.repository, answer.goes_on, answer.handling) == (NGINX, False, FRESH)


async def test_tags_that_are_held_are_not_mixed_in(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    """The upstream is right about what it has."""
    await hold(bench, "deleted-upstream")
    listed(hub_upstream, "a")
    assert texts(await bench.tags.list(MIRROR, ALL)) == ["a"]


async def test_a_list_is_fresh_for_a_minute(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    listed(hub_upstream, "a")
    await bench.tags.list(MIRROR, ALL)
    listed(hub_upstream, "a", "b")
    pass_by(bench, 20.5)
    answer = await bench.tags.list(DIRECT, ALL)
    assert (texts(answer), answer.handling) == (["a"], Handling(Result.HIT, ttl=40))
    pass_by(bench, LIFETIME - 20.5)
    answer = await bench.tags.list(MIRROR, ALL)
    assert (texts(answer), answer.handling) == (["a", "b"], FRESH)
    assert hub_upstream.count("tags") == 2


async def test_the_wall_clock_makes_nothing_fresh(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    listed(hub_upstream, "a")
    await bench.tags.list(MIRROR, ALL)
    bench.clock.jump(timedelta(days=-1))
    pass_by(bench, LIFETIME)
    await bench.tags.list(MIRROR, ALL)
    assert hub_upstream.count("tags") == 2


async def test_a_crowd_asks_once(bench: Workbench, hub_upstream: ScriptedUpstream) -> None:
    listed(hub_upstream, "a")
    with hub_upstream.silent("tags"):
        waiting = [asyncio.create_task(bench.tags.list(MIRROR, Page(n, None))) for n in range(50)]
        await hub_upstream.until_asked("tags")
        waiting[1].cancel()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert hub_upstream.count("tags") == 1
    assert sum(isinstance(answer, TagsAnswer) for answer in answers) == 49


@pytest.mark.parametrize(
    ("page", "expected", "goes_on"),
    [
        (Page(None, None), ["a", "b", "c", "d"], False),
        (Page(2, None), ["a", "b"], True),
        (Page(2, "b"), ["c", "d"], False),
        (Page(2, "bb"), ["c", "d"], False),
        (Page(1, "b"), ["c"], True),
        (Page(4, None), ["a", "b", "c", "d"], False),
        (Page(3, None), ["a", "b", "c"], True),
        (Page(9, "a"), ["b", "c", "d"], False),
        (Page(None, "c"), ["d"], False),
        (Page(2, "d"), [], False),
        (Page(2, "zzz"), [], False),
        (Page(0, None), [], False),
        (Page(0, "b"), [], False),
    ],
)
async def test_pages(
    bench: Workbench,
    hub_upstream: ScriptedUpstream,
    page: Page,
    expected: list[str],
    goes_on: bool,  # noqa: FBT001 - from the table above
) -> None:
    listed(hub_upstream, "d", "c", "b", "a")
    answer = await bench.tags.list(MIRROR, page)
    assert (texts(answer), answer.goes_on) == (expected, goes_on)


@given(
    names=st.sets(st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,3}", fullmatch=True)),
    limit=st.integers(1, 5),
)
async def test_following_the_pages_shows_every_tag_once(names: set[str], limit: int) -> None:
    upstream = ScriptedUpstream()
    listed(upstream, *names)
    bench = set_up(memory_ground(), {HUB: upstream})
    found: list[str] = []
    goes_on = True
    while goes_on:
        answer = await bench.tags.list(MIRROR, Page(limit, found[-1] if found else None))
        found += texts(answer)
        goes_on = answer.goes_on
    await bench.close()
    assert found == sorted(names)
    assert upstream.count("tags") == 1


async def test_what_is_not_there_is_believed_for_a_while(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    for _ in range(3):
        with pytest.raises(NameUnknown):
            await bench.tags.list(MIRROR, ALL)
    assert hub_upstream.count("tags") == 1
    listed(hub_upstream, "a")
    pass_by(bench, LIFETIME)
    assert texts(await bench.tags.list(MIRROR, ALL)) == ["a"]


async def test_a_repository_without_tags_is_there(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    listed(hub_upstream)
    assert texts(await bench.tags.list(MIRROR, ALL)) == []


@pytest.mark.parametrize("error", TROUBLE, ids=lambda error: type(error).__name__)
async def test_the_last_list_is_served_when_the_upstream_is_away(
    bench: Workbench, hub_upstream: ScriptedUpstream, error: UpstreamError
) -> None:
    listed(hub_upstream, "a", "b", "c")
    await hold(bench, "b")
    await bench.tags.list(MIRROR, ALL)
    pass_by(bench, 3 * 3600)
    hub_upstream.trouble["tags"] = error
    answer = await bench.tags.list(MIRROR, Page(2, None))
    assert (texts(answer), answer.goes_on) == (["a", "b"], True)
    detail = f"{error}; this copy was confirmed 3 hours ago"
    assert answer.handling == Handling(Result.STALE, detail=detail)
    del hub_upstream.trouble["tags"]
    assert (await bench.tags.list(MIRROR, ALL)).handling == FRESH


async def test_the_last_list_does_not_wait_for_a_slow_upstream(
    hub_upstream: ScriptedUpstream,
) -> None:
    bench = set_up(memory_ground(), {HUB: hub_upstream}, Habits(stale_after=timedelta()))
    listed(hub_upstream, "a")
    await bench.tags.list(MIRROR, ALL)
    pass_by(bench, 61)
    listed(hub_upstream, "b")
    with hub_upstream.silent("tags"):
        answer = await bench.tags.list(MIRROR, ALL)
        assert (texts(answer), answer.handling.result) == (["a"], Result.STALE)
        assert (
            answer.handling.detail == "the upstream is slow; this copy was confirmed 1 minute ago"
        )
    await settle()
    # The question went on without anybody.
    assert texts(await bench.tags.list(MIRROR, ALL)) == ["b"]
    assert hub_upstream.count("tags") == 2
    await bench.close()


async def test_an_authoritative_no_replaces_the_last_list(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    listed(hub_upstream, "a")
    await bench.tags.list(MIRROR, ALL)
    hub_upstream.tag_lists.clear()
    pass_by(bench, LIFETIME)
    with pytest.raises(NameUnknown):
        await bench.tags.list(MIRROR, ALL)
    # And is believed no longer than a list is: after that it is not known.
    hub_upstream.trouble["tags"] = TROUBLE[0]
    pass_by(bench, LIFETIME)
    with pytest.raises(Unavailable):
        await bench.tags.list(DIRECT, ALL)
    await hold(bench, "held")
    assert texts(await bench.tags.list(DIRECT, ALL)) == ["held"]


@pytest.mark.parametrize("error", TROUBLE, ids=lambda error: type(error).__name__)
async def test_without_a_list_the_tags_that_are_held_are_served(
    bench: Workbench, hub_upstream: ScriptedUpstream, error: UpstreamError
) -> None:
    await hold(bench, "b", "a")
    await bench.facts.put_tag(
        NGINX,
        Tag("only-heard-of"),
        TagRecord(manifest_of(make_image(layers=[b"not here"])).descriptor, bench.clock.now()),
    )
    hub_upstream.trouble["tags"] = error
    answer = await bench.tags.list(MIRROR, Page(1, None))
    assert (texts(answer), answer.goes_on) == (["a"], True)
    detail = f"{error}; these are only the tags that are held here"
    assert answer.handling == Handling(Result.STALE, detail=detail)


async def test_however_many_tags_are_held(bench: Workbench, hub_upstream: ScriptedUpstream) -> None:
    names = [f"t{number:06}" for number in range(2 * STEP + 1)]
    await hold(bench, *names)
    hub_upstream.trouble["tags"] = TROUBLE[0]
    assert texts(await bench.tags.list(MIRROR, ALL)) == names


@pytest.mark.parametrize(
    ("route", "error", "kind"),
    [
        *((MIRROR, error, NameUnknown) for error in TROUBLE),
        (DIRECT, TROUBLE[0], Unavailable),
        (DIRECT, TROUBLE[1], TooManyRequests),
        (DIRECT, TROUBLE[2], UpstreamFault),
        (DIRECT, TROUBLE[3], UpstreamFault),
        (DIRECT, TROUBLE[4], NameUnknown),
    ],
)
async def test_with_nothing_known_the_client_is_told(
    bench: Workbench,
    hub_upstream: ScriptedUpstream,
    route: Route,
    error: UpstreamError,
    kind: type[OCIError],
) -> None:
    hub_upstream.trouble["tags"] = error
    with pytest.raises(kind, match=str(error)):
        await bench.tags.list(route, ALL)
    # Trouble is not remembered.
    listed(hub_upstream, "a")
    del hub_upstream.trouble["tags"]
    assert texts(await bench.tags.list(route, ALL)) == ["a"]


async def test_offline_nobody_is_asked(hub_upstream: ScriptedUpstream) -> None:
    bench = set_up(memory_ground(), {HUB: hub_upstream}, Habits(offline=True))
    listed(hub_upstream, "never-seen")
    await hold(bench, "b", "a")
    answer = await bench.tags.list(MIRROR, ALL)
    assert texts(answer) == ["a", "b"]
    detail = "this mirror is offline; these are only the tags that are held here"
    assert answer.handling == Handling(Result.STALE, detail=detail)
    with pytest.raises(NameUnknown, match="offline"):
        await bench.tags.list(TO_REDIS, ALL)
    with pytest.raises(Unavailable, match="offline"):
        await bench.tags.list(Route(TO_REDIS.repository, Approach.DIRECT), ALL)
    assert hub_upstream.asked == []
    await bench.close()


async def test_a_hosted_name_falls_to_the_upstream_only_where_pulls_do(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    listed(hub_upstream, "a")
    short = Repository(None, RepositoryName("nginx"))
    assert texts(await bench.tags.list(Route(short, Approach.MIRROR, NGINX), ALL)) == ["a"]
    with pytest.raises(NameUnknown):
        await bench.tags.list(Route(short, Approach.MIRROR), ALL)
    assert hub_upstream.count("tags") == 1


async def test_those_who_wait_are_told_that_the_server_stops(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    with hub_upstream.silent("tags"):
        waiting = asyncio.create_task(bench.tags.list(DIRECT, ALL))
        await hub_upstream.until_asked("tags")
        await bench.close()
        with pytest.raises(Unavailable, match="stopping"):
            await waiting
