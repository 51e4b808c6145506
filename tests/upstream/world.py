"""The world an upstream adapter lives in: a simulated hub, a clock that is set, measured sleep."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.reference import RepositoryName, Tag
from mirror.ports.upstream import RemoteBlob, Upstream, UpstreamError
from mirror.upstream.client import HttpUpstream
from mirror.upstream.credentials import Credential
from mirror.upstream.resolver import Lookup, system_lookup
from mirror.upstream.settings import Timeouts, UpstreamSettings
from tests.simulated_hub import Image, SimulatedHub, blob, make_image

NAME = RepositoryName("library/nginx")
LATEST = Tag("latest")
HOUR = 3600.0
QUICK = Timeouts(connect=HOUR, headers=HOUR, progress=0.5)
"""Soon tired of a body that does not come, and of nothing else."""
PASSWORD = "pa55-w0rd-that-nobody-may-see"


class SetClock:
    """Stands still unless it is told to go on."""

    def __init__(self) -> None:
        self._now = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
        self._monotonic = 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def pass_by(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds


@dataclass(slots=True)
class World:
    hub: SimulatedHub
    clock: SetClock = field(default_factory=SetClock)
    slept: list[float] = field(default_factory=list)
    """Seconds that the adapter meant to sleep; the clock went on by them."""
    upstreams: list[HttpUpstream] = field(default_factory=list)

    def upstream(
        self,
        *,
        url: str | None = None,
        realms: Sequence[str] | None = None,
        credential: Credential | None = None,
        timeouts: Timeouts | None = None,
        settings: UpstreamSettings | None = None,
        lookup: Lookup = system_lookup,
    ) -> HttpUpstream:
        """An adapter for the hub, closed with the test."""
        if settings is None:
            settings = UpstreamSettings(
                name="docker.io",
                url=url or self.hub.url,
                realms=tuple((self.hub.token_host,) if realms is None else realms),
                credential=credential,
                timeouts=timeouts or Timeouts(),
            )
        upstream = HttpUpstream(settings, self.clock, lambda: 0.5, self.sleep, lookup)
        self.upstreams.append(upstream)
        return upstream

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.pass_by(seconds)
        await asyncio.sleep(0)

    async def close(self) -> None:
        for upstream in self.upstreams:
            await upstream.close()


def push_image(hub: SimulatedHub, size: int = 10_000) -> Image:
    """An image with one layer, as ``library/nginx:latest``."""
    image = make_image(layers=[blob("layer", size)])
    hub.push(str(NAME), str(LATEST), image)
    return image


def manifest_digest(image: Image) -> Digest:
    return parse_digest(image.digest)


def layer_digest(image: Image) -> Digest:
    return parse_digest(image.layers[0])


def layer_bytes(image: Image) -> bytes:
    return image.blobs[image.layers[0]]


async def download(
    upstream: Upstream, digest: Digest, start: int = 0, stop: int | None = None
) -> bytes | None:
    """The bytes, None when there is no such blob."""
    async with upstream.open_blob(NAME, digest, start, stop) as remote:
        return None if remote is None else b"".join([chunk async for chunk in remote.chunks()])


@dataclass(frozen=True, slots=True)
class Broken:
    """What came before a download broke."""

    received: bytes
    error: UpstreamError


async def broken_download(
    upstream: Upstream, digest: Digest, start: int = 0, stop: int | None = None
) -> Broken:
    """Fails when the download comes to a good end."""
    received = b""
    async with upstream.open_blob(NAME, digest, start, stop) as remote:
        assert remote is not None
        try:
            async for chunk in remote.chunks():
                received += chunk
        except UpstreamError as error:
            return Broken(received, error)
    raise AssertionError(f"the download was complete, with {len(received)} bytes")


def must_be_remote(remote: RemoteBlob | None) -> RemoteBlob:
    assert remote is not None
    return remote
