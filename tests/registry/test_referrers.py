"""What refers to a manifest: the upstream's list, filtered by us."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from mirror.oci.digest import digest_of
from mirror.oci.errors import ManifestUnknown, OCIError, TooManyRequests, Unavailable, UpstreamFault
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
    Habits,
    Workbench,
    memory_ground,
    set_up,
)

SUBJECT = digest_of(b"subject")
SIGNATURE = Referrer(digest_of(b"signature"), "x/signature", b'{"digest":"of a signature"}')
SBOM = Referrer(digest_of(b"sbom"), "x/sbom", b'{"digest":"of an sbom"}')
PLAIN = Referrer(digest_of(b"plain"), "", b'{"digest":"of something"}')
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
    answer = await bench.referrers.list(MIRROR, SUBJECT, None)
    assert answer.referrers == (SIGNATURE, SBOM, PLAIN)
    assert answer.handling == FRESH
    for wanted, found in (("x/sbom", (SBOM,)), ("x/nothing", ()), ("x/signature", (SIGNATURE,))):
        answer = await bench.referrers.list(DIRECT, SUBJECT, wanted)
        assert answer.referrers == found
        assert answer.handling == Handling(Result.HIT, ttl=60)
    assert hub_upstream.count("referrers") == 1


async def test_nothing_refers_to_it_is_an_answer(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    hub_upstream.referrers[NAME, SUBJECT] = ()
    assert (await bench.referrers.list(MIRROR, SUBJECT, None)).referrers == ()


async def test_an_upstream_without_referrers_is_believed_for_a_while(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    """Daemons ask after every pull."""
    hub_upstream.lists_referrers = False
    for route in (MIRROR, DIRECT, MIRROR):
        with pytest.raises(ManifestUnknown):
            await bench.referrers.list(route, SUBJECT, None)
    assert hub_upstream.count("referrers") == 1
    hub_upstream.lists_referrers = True
    hub_upstream.referrers[NAME, SUBJECT] = (SBOM,)
    bench.clock.advance(timedelta(seconds=LIFETIME))
    assert (await bench.referrers.list(MIRROR, SUBJECT, None)).referrers == (SBOM,)


async def test_a_crowd_asks_once(bench: Workbench, hub_upstream: ScriptedUpstream) -> None:
    with hub_upstream.silent("referrers"):
        waiting = [
            asyncio.create_task(bench.referrers.list(MIRROR, SUBJECT, kind))
            for kind in (None, "x/sbom") * 20
        ]
        await hub_upstream.until_asked("referrers")
    await asyncio.gather(*waiting)
    assert hub_upstream.count("referrers") == 1


async def test_the_last_list_is_served_when_the_upstream_is_away(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    await bench.referrers.list(MIRROR, SUBJECT, None)
    bench.clock.advance(timedelta(days=2))
    hub_upstream.trouble["referrers"] = UpstreamFailed("docker.io: 500")
    answer = await bench.referrers.list(MIRROR, SUBJECT, "x/sbom")
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
        await bench.referrers.list(route, SUBJECT, None)


@pytest.mark.parametrize(
    ("approach", "kind"), [(Approach.MIRROR, ManifestUnknown), (Approach.DIRECT, Unavailable)]
)
async def test_offline_nobody_is_asked(
    hub_upstream: ScriptedUpstream, approach: Approach, kind: type[OCIError]
) -> None:
    bench = set_up(memory_ground(), {HUB: hub_upstream}, Habits(offline=True))
    with pytest.raises(kind, match="offline"):
        await bench.referrers.list(Route(MIRROR.repository, approach), SUBJECT, None)
    assert hub_upstream.asked == []
    await bench.close()
