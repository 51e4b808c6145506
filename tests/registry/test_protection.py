"""Each reason to stay, on its own."""

from collections.abc import Collection

import pytest

from mirror.oci.digest import Digest
from mirror.ports.metadata import BlobRecord, IdleBlob, IdleManifest, Use
from mirror.ports.upstream import UpstreamStatus
from mirror.registry.protection import in_use, unreachable_upstreams, used_just_now
from mirror.registry.usage import Usage
from tests.conformance.metadata import NGINX, NGINX_ELSEWHERE, REDIS, at, digest, manifest
from tests.registry.scripted_upstream import FAILING, THROTTLED, USED_UP, WELL, ScriptedUpstream
from tests.registry.workbench import GHCR, HUB, Habits, memory_ground, set_up
from tests.world import SettableClock

OWN = (BlobRecord(digest("m"), 10), 1)
LAYER = (BlobRecord(digest("a"), 100), 2)
IMAGE = IdleManifest(NGINX, manifest("m"), at(0), ("latest",), (OWN, LAYER))
COPY = IdleManifest(NGINX_ELSEWHERE, manifest("m"), at(0), (), (OWN, LAYER))
NOBODYS = IdleBlob(BlobRecord(digest("a"), 100), at(0), frozenset())
SHARED = IdleBlob(BlobRecord(digest("a"), 100), at(0), frozenset({HUB, GHCR}))


@pytest.mark.parametrize(
    ("frozen", "image", "copy", "shared"),
    [
        (set(), None, None, None),
        ({"quay.io"}, None, None, None),
        ({HUB}, HUB, None, HUB),
        ({GHCR}, None, GHCR, GHCR),
        ({HUB, GHCR}, HUB, GHCR, HUB),
    ],
)
def test_what_cannot_be_fetched_again(
    frozen: set[str], image: str | None, copy: str | None, shared: str | None
) -> None:
    protect = unreachable_upstreams(lambda: frozenset(frozen))
    for idle, upstream in ((IMAGE, image), (COPY, copy), (SHARED, shared), (NOBODYS, None)):
        assert protect(idle) == (upstream and f"{upstream} could not give it again now")


def test_the_upstreams_are_asked_every_time() -> None:
    frozen: set[str] = set()
    protect = unreachable_upstreams(lambda: frozenset(frozen))
    assert protect(IMAGE) is None
    frozen.add(HUB)
    assert protect(IMAGE) is not None


@pytest.mark.parametrize("trouble", [FAILING, THROTTLED, USED_UP])
async def test_out_of_reach_out_of_quota_and_offline_are_frozen(
    trouble: UpstreamStatus, hub_upstream: ScriptedUpstream, ghcr_upstream: ScriptedUpstream
) -> None:
    upstreams = {HUB: hub_upstream, GHCR: ghcr_upstream}
    bench = set_up(memory_ground(), upstreams)
    assert bench.registries.frozen() == frozenset()
    ghcr_upstream.status_now = trouble
    assert bench.registries.frozen() == {GHCR}
    ghcr_upstream.status_now = WELL
    offline = set_up(memory_ground(), upstreams, Habits(offline=True))
    assert offline.registries.frozen() == {HUB, GHCR}


@pytest.mark.parametrize(
    ("using", "image", "blob"),
    [
        ((), None, None),
        ((digest("other"),), None, None),
        ((digest("a"),), "in use", "in use"),
        ((digest("m"),), "in use", None),
    ],
)
def test_what_is_being_sent(using: Collection[Digest], image: str | None, blob: str | None) -> None:
    protect = in_use(lambda digest: digest in using)
    assert protect(IMAGE) == image
    assert protect(NOBODYS) == blob


def test_what_was_used_and_not_written() -> None:
    usage = Usage(SettableClock())
    protect = used_just_now(usage)
    assert protect(IMAGE) is None
    usage.touch(Use(REDIS, digest("m")))
    assert protect(IMAGE) is None
    usage.touch(Use(None, digest("m")))
    assert protect(IMAGE) is None
    assert protect(NOBODYS) is None
    usage.touch(Use(NGINX, digest("m")))
    assert protect(IMAGE) == "used just now"
    assert protect(COPY) is None
    usage.touch(Use(None, digest("a")))
    assert protect(NOBODYS) == "used just now"
