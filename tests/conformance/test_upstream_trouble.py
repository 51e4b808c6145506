"""What every upstream promises when it cannot answer, and when it is closed."""

from collections.abc import Awaitable, Callable

import pytest

from mirror.oci.digest import digest_of
from mirror.oci.reference import Tag
from mirror.ports.upstream import (
    Upstream,
    UpstreamFailed,
    UpstreamThrottled,
    UpstreamUnreachable,
)
from tests.conformance.upstreams import NAME, RETRY_AFTER, TROUBLES, Trouble, World
from tests.simulated_hub import blob, make_image
from tests.upstream.world import download

LAYER = blob("layer", 10_000)
IMAGE = make_image(layers=[LAYER])
MANIFEST, DIGEST = digest_of(IMAGE.content), digest_of(LAYER)
ABSENT = digest_of(b"absent")

Question = Callable[[Upstream], Awaitable[object]]
QUESTIONS: dict[str, Question] = {
    "resolve": lambda upstream: upstream.resolve(NAME, Tag("latest")),
    "manifest": lambda upstream: upstream.get_manifest(NAME, MANIFEST),
    "head": lambda upstream: upstream.head_blob(NAME, DIGEST),
    "blob": lambda upstream: download(upstream, DIGEST),
    "part": lambda upstream: download(upstream, DIGEST, 10, 20),
    "tags": lambda upstream: upstream.list_tags(NAME),
    "referrers": lambda upstream: upstream.list_referrers(NAME, MANIFEST),
    "absent": lambda upstream: upstream.get_manifest(NAME, ABSENT),
}
A_WHILE = 5
"""Questions in a row that an upstream fails to answer, until it is said to be failing."""

each_question = pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)


@pytest.fixture
def stocked(remote_world: World) -> World:
    remote_world.push(NAME, "latest", IMAGE)
    remote_world.push_blob(NAME, DIGEST, LAYER)
    return remote_world


@each_question
@pytest.mark.parametrize("trouble", TROUBLES)
async def test_trouble_is_told_apart_and_never_taken_for_an_answer(
    stocked: World, question: Question, trouble: Trouble
) -> None:
    expected = await question(stocked.upstream)
    stocked.trouble(trouble)
    with pytest.raises(trouble) as caught:
        await question(stocked.upstream)
    assert str(caught.value).isprintable()
    stocked.recover()
    assert await question(stocked.upstream) == expected


@each_question
async def test_who_is_told_to_wait_hears_how_long(stocked: World, question: Question) -> None:
    stocked.trouble(UpstreamThrottled)
    with pytest.raises(UpstreamThrottled) as caught:
        await question(stocked.upstream)
    assert caught.value.retry_after == RETRY_AFTER


async def test_before_the_first_question_nothing_is_wrong(remote_world: World) -> None:
    status = remote_world.upstream.status()
    assert (status.state, status.reason, status.retry_at, status.quota) == ("ok", None, None, None)
    assert status.reachable


@pytest.mark.parametrize(
    ("trouble", "state"),
    [
        (UpstreamThrottled, "throttled"),
        (UpstreamUnreachable, "failing"),
        (UpstreamFailed, "failing"),
    ],
)
async def test_an_upstream_that_goes_on_like_that_is_not_reachable(
    stocked: World, trouble: Trouble, state: str
) -> None:
    """What it alone could give again must not be deleted meanwhile."""
    stocked.trouble(trouble)
    await ask_in_vain(stocked, trouble)
    status = stocked.upstream.status()
    assert (status.state, status.reachable) == (state, False)
    assert status.reason
    stocked.recover()
    assert await download(stocked.upstream, DIGEST) == LAYER
    assert stocked.upstream.status().reachable


async def ask_in_vain(world: World, trouble: Trouble) -> None:
    for _ in range(A_WHILE):
        with pytest.raises(trouble):
            await world.upstream.resolve(NAME, Tag("latest"))


async def test_what_is_not_there_says_nothing_against_the_upstream(stocked: World) -> None:
    for _ in range(A_WHILE):
        assert await stocked.upstream.resolve(NAME, Tag("absent")) is None
        assert await stocked.upstream.head_blob(NAME, ABSENT) is None
    assert stocked.upstream.status().reachable


async def test_closing_may_be_done_again(stocked: World) -> None:
    assert await download(stocked.upstream, DIGEST) == LAYER
    for _ in range(3):
        await stocked.upstream.close()
    assert stocked.upstream.status().reachable


async def test_what_was_never_used_can_be_closed(remote_world: World) -> None:
    for _ in range(3):
        await remote_world.upstream.close()
