"""What is not there: an upstream is believed for a while, and for a while only."""

from datetime import timedelta

import pytest

from mirror.oci.digest import digest_of
from mirror.oci.errors import ManifestUnknown
from mirror.oci.manifest import Manifest
from mirror.ports.repository import Repository
from mirror.ports.upstream import UpstreamDenied
from mirror.registry.manifests import ABSENCE, MOST_ABSENT, Absences
from tests.registry.moving_tag import OLD, get
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.workbench import MIRROR, NAME, NGINX, Workbench
from tests.world import SettableClock


async def test_an_unknown_tag_is_believed_for_a_while(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    for _ in range(3):
        with pytest.raises(ManifestUnknown):
            await get(bench)
    assert hub_upstream.count("resolve") == 1
    bench.clock.advance(timedelta(seconds=ABSENCE - 0.001))
    old = hub_upstream.push(NAME, "latest", OLD)
    with pytest.raises(ManifestUnknown):
        await get(bench)
    bench.clock.advance(timedelta(seconds=0.001))
    assert (await get(bench)).content == old.content
    assert hub_upstream.count("resolve") == 2


async def test_an_unknown_digest_is_believed_for_a_while(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    digest = digest_of(OLD.content)
    for _ in range(3):
        with pytest.raises(ManifestUnknown):
            await bench.manifests.get(MIRROR, digest)
    assert hub_upstream.count("manifest") == 1
    hub_upstream.push(NAME, None, OLD)
    bench.clock.advance(timedelta(seconds=ABSENCE))
    assert (await bench.manifests.get(MIRROR, digest)).content == OLD.content


async def test_a_repository_that_is_not_for_us_is_believed_not_to_be_for_a_while(
    bench: Workbench, hub_upstream: ScriptedUpstream, old: Manifest
) -> None:
    """Docker Hub says 401 of what does not exist, and counts everything against some limit."""
    hub_upstream.trouble["resolve"] = hub_upstream.trouble["manifest"] = UpstreamDenied("no access")
    for _ in range(3):
        with pytest.raises(ManifestUnknown, match="no access"):
            await get(bench)
        with pytest.raises(ManifestUnknown, match="no access"):
            await bench.manifests.get(MIRROR, old.digest)
    assert (hub_upstream.count("resolve"), hub_upstream.count("manifest")) == (1, 1)
    hub_upstream.trouble.clear()
    bench.clock.advance(timedelta(seconds=ABSENCE))
    assert (await get(bench)).content == old.content


async def test_absence_does_not_depend_on_the_wall_clock(
    bench: Workbench, hub_upstream: ScriptedUpstream
) -> None:
    with pytest.raises(ManifestUnknown):
        await get(bench)
    bench.clock.jump(timedelta(days=3650))
    with pytest.raises(ManifestUnknown):
        await get(bench)
    assert hub_upstream.count("resolve") == 1


def test_only_so_many_absences_are_remembered() -> None:
    clock = SettableClock()
    absences = Absences(clock)
    for number in range(MOST_ABSENT + 1):
        absences.add((NGINX, str(number)))
    assert not absences.holds((NGINX, "0"))
    assert absences.holds((NGINX, "1"))
    assert absences.holds((NGINX, str(MOST_ABSENT)))
    assert not absences.holds((Repository(None, NGINX.name), "1"))
