"""Hosting put together as the server does it, beside proxied repositories of a scripted hub."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from mirror.metadata.memory import MemoryMetadata
from mirror.oci.digest import Digest, digest_of, parse_digest
from mirror.oci.reference import RepositoryName, Tag
from mirror.ports.hosting import Removal
from mirror.ports.metadata import BlobRecord
from mirror.ports.repository import Repository
from mirror.registry.glob import Glob
from mirror.registry.held import HeldManifests
from mirror.registry.hosted import Acceptance, PushedManifest
from mirror.registry.hosting import Hosting, HostingPorts, Proxied, make_hosting
from mirror.registry.immutable import ImmutableTags
from mirror.registry.routing import Approach, Route
from tests.registry.scripted_upstream import ScriptedUpstream
from tests.registry.workbench import HUB, Ground, Workbench, memory_ground, set_up
from tests.simulated_hub import Image, Index, blob, make_image

NAME = "nginx"
NGINX = Repository(None, RepositoryName(NAME))
TEAM = Repository(None, RepositoryName("team/group/app"))
LENDER = Repository(HUB, RepositoryName("library/nginx"))
LATEST = Tag("latest")
IMAGE = make_image(layers=[blob("pushed", 1000)])
OTHER = make_image(layers=[blob("other", 1000)])
LAYER = parse_digest(IMAGE.layers[0])
CONFIG = parse_digest(IMAGE.config)
RENEW_EVERY = timedelta(hours=6)

TO_NGINX = Route(NGINX, Approach.MIRROR, fallback=LENDER)
TO_TEAM = Route(TEAM, Approach.MIRROR)


async def _nothing() -> None:
    """What happens by default."""


class InterruptedFacts(MemoryMetadata):
    """What happens elsewhere just then, once."""

    def __init__(self) -> None:
        super().__init__()
        self.after_listing: Callable[[], Awaitable[object]] = _nothing
        self.before_removal: Callable[[], Awaitable[object]] = _nothing

    async def list_repositories(
        self, after: str | None, limit: int, *, hosted_only: bool = False
    ) -> Sequence[Repository]:
        listed = await super().list_repositories(after, limit, hosted_only=hosted_only)
        happens, self.after_listing = self.after_listing, _nothing
        await happens()
        return listed

    async def remove_manifest(self, repository: Repository, digest: Digest) -> Removal:
        happens, self.before_removal = self.before_removal, _nothing
        await happens()
        return await super().remove_manifest(repository, digest)


@dataclass(slots=True)
class House:
    """``hub`` has whatever a test puts there, and notes what it is asked."""

    bench: Workbench
    hosting: Hosting
    held: HeldManifests
    hub: ScriptedUpstream

    async def put_blobs(self, repository: Repository, blobs: Mapping[str, bytes]) -> None:
        """As an upload leaves them."""
        for content in blobs.values():
            digest = digest_of(content)
            await self.bench.store.put(digest, content)
            record = BlobRecord(digest, len(content))
            await self.bench.facts.put_blob(repository, record, self.bench.clock.now())

    async def push(
        self, repository: Repository, tag: str | None, pushed: Image | Index
    ) -> Acceptance:
        """All of it, as a client does."""
        if isinstance(pushed, Index):
            for image in pushed.images:
                await self.push(repository, None, image)
        else:
            await self.put_blobs(repository, pushed.blobs)
        return await self.put(repository, tag, pushed)

    async def put(
        self,
        repository: Repository,
        tag: str | None,
        pushed: Image | Index,
        lender: Repository | None = None,
    ) -> Acceptance:
        """The manifest alone."""
        reference = parse_digest(pushed.digest) if tag is None else Tag(tag)
        manifest = PushedManifest(
            repository, reference, pushed.content, pushed.media_type, lender=lender
        )
        return await self.hosting.hosted.push(manifest)

    async def close(self) -> None:
        await self.held.close()
        await self.bench.close()


def build(immutable: Sequence[str] = (), ground: Ground | None = None) -> House:
    hub = ScriptedUpstream()
    bench = set_up(ground or memory_ground(), {HUB: hub})
    held = HeldManifests(
        bench.store, bench.facts, bench.facts, bench.custody, bench.clock, bench.usage
    )
    ports = HostingPorts(
        store=bench.store,
        facts=bench.facts,
        held=held,
        custody=bench.custody,
        immutable=ImmutableTags([Glob(pattern) for pattern in immutable]),
        clock=bench.clock,
        usage=bench.usage,
        statistics=bench.statistics,
        renew_every=RENEW_EVERY,
    )
    proxied = Proxied(bench.manifests, bench.blobs, bench.tags, bench.referrers)
    return House(bench, make_hosting(ports, proxied), held, hub)


def digest(image: Image | Index) -> Digest:
    return parse_digest(image.digest)
