"""The worlds that upstreams are run in: what a registry has, and how it is in trouble.

A new adapter is one more world in ``WORLDS``; the claims are in the ``test_upstream_*`` modules.
What only a client of real HTTP can get wrong is in ``tests/upstream``.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, get_args

from mirror.oci.digest import Digest
from mirror.oci.manifest import Manifest
from mirror.oci.reference import RepositoryName
from mirror.ports.upstream import (
    Upstream,
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamInvalid,
    UpstreamThrottled,
    UpstreamUnreachable,
)
from tests.registry.scripted_download import What
from tests.registry.scripted_upstream import ScriptedUpstream, manifest_of
from tests.simulated_hub import Fault, Image, Index, Redirects, SimulatedHub
from tests.simulated_hub.faults import FaultRoute, Kind
from tests.simulated_hub.repositories import Manifest as HubManifest
from tests.upstream.world import World as HubWorld

NAME = RepositoryName("library/nginx")
REDIS = RepositoryName("library/redis")
NOWHERE = RepositoryName("library/nowhere")
RETRY_AFTER = 7.0

Trouble = type[UpstreamError]
TROUBLES: list[Trouble] = [
    UpstreamUnreachable,
    UpstreamDenied,
    UpstreamThrottled,
    UpstreamFailed,
    UpstreamInvalid,
]


class World(Protocol):
    """A registry that has what a test puts there, and an adapter for it."""

    @property
    def upstream(self) -> Upstream: ...

    def push(self, name: RepositoryName, tag: str | None, image: Image | Index) -> Manifest:
        """The image or index with all that it names."""

    def push_manifest(self, name: RepositoryName, manifest: Manifest) -> None:
        """Under its digest, whether that is right or wrong."""

    def push_blob(self, name: RepositoryName, digest: Digest, content: bytes) -> None:
        """Under the digest, whether that is right or wrong."""

    def describe_nothing(self) -> None:
        """From now on the HEAD of a manifest tells too little."""

    def measure_nothing(self) -> None:
        """From now on no download says how long the blob is."""

    def list_no_referrers(self) -> None:
        """The registry does not know how."""

    def cut(self, digest: Digest, at: int) -> None:
        """The next download of the blob breaks off after so many bytes."""

    def trouble(self, trouble: Trouble) -> None:
        """From now on no question gets anything else. Who is told to wait: ``RETRY_AFTER``."""

    def recover(self) -> None:
        """All is well again, and so much time has passed that this may be found out."""

    async def let_go(self) -> None:
        """Until no download is open any more."""


@dataclass(slots=True)
class HttpWorld:
    """The adapter for real registries, and a whole simulated one."""

    world: HubWorld
    upstream: Upstream
    blob_route: FaultRoute = "blob"

    @property
    def hub(self) -> SimulatedHub:
        return self.world.hub

    def push(self, name: RepositoryName, tag: str | None, image: Image | Index) -> Manifest:
        self.hub.push(str(name), tag, image)
        return manifest_of(image)

    def push_manifest(self, name: RepositoryName, manifest: Manifest) -> None:
        self.hub.push_blob(str(name), b"the repository is there")
        there = HubManifest(manifest.content, manifest.media_type, str(manifest.digest))
        self.hub.repositories.by_name[str(name)].manifests[there.digest] = there

    def push_blob(self, name: RepositoryName, digest: Digest, content: bytes) -> None:
        self.hub.push_blob(str(name), b"the repository is there")
        self.hub.repositories.by_name[str(name)].blobs[str(digest)] = content

    def describe_nothing(self) -> None:
        self.hub.faults.add(Fault(route="manifest", method="HEAD", kind="no_digest_header"))

    def measure_nothing(self) -> None:
        self.hub.faults.add(Fault(route=self.blob_route, kind="no_length"))

    def list_no_referrers(self) -> None:
        self.hub.faults.add(Fault(route="referrers", status=404))

    def cut(self, digest: Digest, at: int) -> None:
        del digest  # nothing else is downloaded
        self.hub.faults.add(Fault(route=self.blob_route, kind="close", at=at, times=1))

    def trouble(self, trouble: Trouble) -> None:
        kind, status = _FAULTS[trouble]
        wait = int(RETRY_AFTER) if trouble is UpstreamThrottled else None
        for route in _ROUTES:
            self.hub.faults.add(Fault(route=route, kind=kind, status=status, retry_after=wait))

    def recover(self) -> None:
        self.hub.faults.clear()
        self.world.clock.pass_by(3600)

    async def let_go(self) -> None:
        await self.hub.wait_for(lambda: self.hub.open_requests == 0)


_ROUTES: tuple[FaultRoute, ...] = ("manifest", "blob", "tags", "referrers")
_FAULTS: dict[Trouble, tuple[Kind, int | None]] = {
    UpstreamUnreachable: ("reset", None),
    UpstreamDenied: ("status", 403),
    UpstreamThrottled: ("status", 429),
    UpstreamFailed: ("status", 500),
    UpstreamInvalid: ("garbage", None),
}


@dataclass(slots=True)
class ScriptedWorld:
    """What the use cases are tested with. ``by_hand``: its downloads are let out by the test."""

    upstream: ScriptedUpstream = field(default_factory=ScriptedUpstream)
    by_hand: bool = False

    def push(self, name: RepositoryName, tag: str | None, image: Image | Index) -> Manifest:
        return self.upstream.push(str(name), tag, image)

    def push_manifest(self, name: RepositoryName, manifest: Manifest) -> None:
        self.upstream.put(str(name), None, manifest)

    def push_blob(self, name: RepositoryName, digest: Digest, content: bytes) -> None:
        self.upstream.put_blob(str(name), digest, content)
        if self.by_hand:
            self.upstream.by_hand.add(digest)

    def describe_nothing(self) -> None:
        self.upstream.unclear_heads = True

    def measure_nothing(self) -> None:
        self.upstream.announced.update(dict.fromkeys(self._digests()))

    def list_no_referrers(self) -> None:
        self.upstream.lists_referrers = False

    def cut(self, digest: Digest, at: int) -> None:
        self.upstream.cuts[digest] = at

    def trouble(self, trouble: Trouble) -> None:
        is_wait = trouble is UpstreamThrottled
        error = UpstreamThrottled("wait", RETRY_AFTER) if is_wait else trouble("told to")
        self.upstream.trouble.update(dict.fromkeys(get_args(What), error))

    def recover(self) -> None:
        self.upstream.trouble.clear()

    async def let_go(self) -> None:
        async with asyncio.timeout(30):
            await self.upstream.bell.until(lambda: self.upstream.open_downloads == 0)

    def _digests(self) -> set[Digest]:
        return {digest for _, digest in self.upstream.blobs}


@asynccontextmanager
async def real(
    redirects: Redirects | None = None, *, ranges: bool = True
) -> AsyncIterator[HttpWorld]:
    async with SimulatedHub() as hub:
        hub.redirects, hub.ranges = redirects or Redirects(), ranges
        world = HubWorld(hub)
        yield HttpWorld(world, world.upstream(), "cdn" if redirects else "blob")
        await world.close()


@asynccontextmanager
async def scripted() -> AsyncIterator[ScriptedWorld]:
    yield ScriptedWorld()


@asynccontextmanager
async def let_out_by_hand() -> AsyncIterator[ScriptedWorld]:
    world = ScriptedWorld(by_hand=True)
    hand = asyncio.create_task(_let_out(world.upstream))
    yield world
    hand.cancel()
    await asyncio.wait({hand})


async def _let_out(upstream: ScriptedUpstream) -> None:
    while True:
        (await upstream.next_tap()).let_rest()


T = TypeVar("T")


async def unless_denied(question: Awaitable[T]) -> T | None:
    """Registries tell a repository that is missing from one that is private, or they do not."""
    try:
        return await question
    except UpstreamDenied:
        return None


WORLDS: dict[str, Callable[[], AbstractAsyncContextManager[World]]] = {
    "http": real,
    "http with a cdn": lambda: real(Redirects(blobs=307)),
    "http without ranges": lambda: real(ranges=False),
    "http with a cdn without ranges": lambda: real(Redirects(blobs=307), ranges=False),
    "scripted": scripted,
    "scripted by hand": let_out_by_hand,
}
