"""What refers to a manifest: the upstream's list, filtered and cut by us."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from mirror.oci.digest import digest_of
from mirror.oci.errors import (
    DigestInvalid,
    ManifestUnknown,
    OCIError,
    TooManyRequests,
    Unavailable,
    UpstreamFault,
)
from mirror.oci.page import Page
from mirror.oci.referrers import Referrer
from mirror.ports.upstream import (
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamThrottled,
    UpstreamUnreachable,
)
from mirror.registry.answer import Handling
from mirror.registry.recent_lists import LIFETIME
from mirror.registry.routing import Approach, Route
from mirror.registry.statistics import Result
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.workbench import (
    DIRECT,
    HUB,
    MIRROR,
    NAME,
    TO_REDIS,
    Habits,
    Workbench,
    memory_ground,
    set_up,
)
from tests.simulated_hub.content import make_artifact, make_image

IMAGE = make_image(layers=[])
SUBJECT = digest_of(b"subject")
SIGNATURE = Referrer(digest_of(b"signature"), "x/signature", b'{"digest":"of a signature"}')
SBOM = Referrer(digest_of(b"sbom"), "x/sbom", b'{"digest":"of an sbom"}')
PLAIN = Referrer(digest_of(b"plain"), "", b'{"digest":"of something"}')
EACH = tuple(sorted((SIGNATURE, SBOM, PLAIN), key=lambda each: str(each.digest)))
ALL = Page(None, None)
FRESH = Handling(Result.MISS, ttl=60)


@pytest.fixture
async def bench(hub_upstream: ScriptedUpstream) -> AsyncIterator[Workbench]:
    bench = set_up(memory_ground(), {HUB: hub_upstream})
    yield bench
    await bench.close()


@pytest.fixture(autouse=True)
def _listed(hub_upstream: ScriptedUpstream) -> None:
    hub_upstream.referrers[NAME, SUBJECT] = (SIGNATURE, SBOM, PLAIN, SIGNATURE)


async def test_one_list_serves_every_filter(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    answer = await bench.referrers.list(MIRROR, SUBJECT, None, ALL)
    assert answer.referrers == EACH
    assert answer.handling == FRESH
    for wanted, found in (("x/sbom", (SBOM,)), ("x/nothing", ()), ("x/signature", (SIGNATURE,))):
        answer = await bench.referrers.list(DIRECT, SUBJECT, wanted, ALL)
        assert answer.referrers == found
        assert answer.handling == Handling(Result.HIT, ttl=60)
    assert hub_upstream.count("referrers") == 1


async def test_the_list_comes_in_pages_of_ours(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    for kind, listed in ((None, EACH), ("x/sbom", (SBOM,)), ("x/nothing", ())):
        found: list[Referrer] = []
        page = Page(1, None)
        while True:
            answer = await bench.referrers.list(MIRROR, SUBJECT, kind, page)
            found += answer.referrers
            assert len(answer.referrers) <= 1
            if answer.goes_on_after is None:
                break
            page = Page(1, str(answer.goes_on_after))
        assert tuple(found) == listed
    assert (await bench.referrers.list(MIRROR, SUBJECT, None, Page(0, None))).referrers == ()
    assert hub_upstream.count("referrers") == 1


async def test_a_page_after_what_is_no_digest(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    with pytest.raises(DigestInvalid):
        await bench.referrers.list(MIRROR, SUBJECT, None, Page(None, "latest"))
    assert hub_upstream.asked == []


async def test_without_a_list_the_referrers_that_are_held_are_served(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    notes = [make_artifact(IMAGE, b"note", "x/note"), make_artifact(IMAGE, b"scan", "x/scan")]
    for note in notes:
        hub_upstream.push(NAME, None, note)
        await bench.manifests.get(MIRROR, digest_of(note.content))
    hub_upstream.trouble["referrers"] = UpstreamFailed("docker.io: 500")
    subject = digest_of(IMAGE.content)

    whole = await bench.referrers.list(MIRROR, subject, None, ALL)
    assert {str(each.digest) for each in whole.referrers} == {note.digest for note in notes}
    detail = "docker.io: 500; these are only the referrers that are held here"
    assert whole.handling == Handling(Result.STALE, detail=detail)
    for kind, count in (("x/scan", 1), ("x/nothing", 0)):
        answer = await bench.referrers.list(MIRROR, subject, kind, ALL)
        assert (len(answer.referrers), answer.handling) == (count, whole.handling)
    with pytest.raises(ManifestUnknown):
        await bench.referrers.list(TO_REDIS, subject, None, ALL)


async def test_nothing_refers_to_it_is_an_answer(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    hub_upstream.referrers[NAME, SUBJECT] = ()
    assert (await bench.referrers.list(MIRROR, SUBJECT, None, ALL)).referrers == ()


async def test_an_upstream_without_referrers_is_believed_for_a_while(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    """Daemons ask after every pull."""
    hub_upstream.lists_referrers = False
    for route in (MIRROR, DIRECT, MIRROR):
        with pytest.raises(ManifestUnknown):
            await bench.referrers.list(route, SUBJECT, None, ALL)
    assert hub_upstream.count("referrers") == 1
    hub_upstream.lists_referrers = True
    hub_upstream.referrers[NAME, SUBJECT] = (SBOM,)
    bench.clock.advance(timedelta(seconds=LIFETIME))
    assert (await bench.referrers.list(MIRROR, SUBJECT, None, ALL)).referrers == (SBOM,)


async def test_a_crowd_asks_once(bench: Workbench, hub_upstream: ScriptedUpstream) -> None:
    with hub_upstream.silent("referrers"):
        waiting = [
            asyncio.create_task(bench.referrers.list(MIRROR, SUBJECT, kind, ALL))
            for kind in (None, "x/sbom") * 20
        ]
        await hub_upstream.until_asked("referrers")
    await asyncio.gather(*waiting)
    assert hub_upstream.count("referrers") == 1


async def test_the_last_list_is_served_when_the_upstream_is_away(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    await bench.referrers.list(MIRROR, SUBJECT, None, ALL)
    bench.clock.advance(timedelta(days=2))
    hub_upstream.trouble["referrers"] = UpstreamFailed("docker.io: 500")
    answer = await bench.referrers.list(MIRROR, SUBJECT, "x/sbom", ALL)
    assert answer.referrers == (SBOM,)
    detail = "docker.io: 500; this copy was confirmed 2 days ago"
    assert answer.handling == Handling(Result.STALE, detail=detail)


@pytest.mark.parametrize(
    ("route", "error", "kind"),
    [
        (MIRROR, UpstreamUnreachable("no answer"), ManifestUnknown),
        (MIRROR, UpstreamThrottled("too many"), ManifestUnknown),
        (DIRECT, UpstreamUnreachable("no answer"), Unavailable),
        (DIRECT, UpstreamThrottled("too many"), TooManyRequests),
        (DIRECT, UpstreamFailed("500"), UpstreamFault),
        (DIRECT, UpstreamDenied("not for us"), ManifestUnknown),
    ],
)
async def test_with_nothing_known_the_client_is_told(
    bench: Workbench,
    hub_upstream: ScriptedUpstream,
    route: Route,
    error: UpstreamError,
    kind: type[OCIError],
) -> None:
    hub_upstream.trouble["referrers"] = error
    with pytest.raises(kind, match=str(error)):
        await bench.referrers.list(route, SUBJECT, None, ALL)


@pytest.mark.parametrize(
    ("approach", "kind"), [(Approach.MIRROR, ManifestUnknown), (Approach.DIRECT, Unavailable)]
)
async def test_offline_nobody_is_asked(
    hub_upstream: ScriptedUpstream, approach: Approach, kind: type[OCIError]
) -> None:
    bench = set_up(memory_ground(), {HUB: hub_upstream}, Habits(offline=True))
    with pytest.raises(kind, match="offline"):
        await bench.referrers.list(Route(MIRROR.repository, approach), SUBJECT, None, ALL)
    assert hub_upstream.asked == []
    await bench.close()
