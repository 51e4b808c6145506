"""One layer that upstreams have, and what of it is here already."""

import asyncio
from pathlib import Path

from mirror.oci.digest import Digest, digest_of
from mirror.oci.manifest import Manifest, parse_references
from mirror.ports.repository import Repository
from mirror.ports.upstream import UpstreamUnreachable
from mirror.registry.routing import Route
from tests.registry.reading import Reading, begin, fetch
from tests.registry.scripted_upstream import ScriptedUpstream, manifest_of
from tests.registry.workbench import MIRROR, Workbench, fills_ended, settle
from tests.simulated_hub import Image, blob, make_image

SIZE = 200_000
LAYER = blob("layer", SIZE)
DIGEST = digest_of(LAYER)
IMAGE = make_image(layers=[LAYER])
DOWN = UpstreamUnreachable("no answer")


async def asking(
    bench: Workbench, digest: Digest, route: Route = MIRROR
) -> "asyncio.Task[Reading]":
    """A client that waits for its first byte."""
    task = asyncio.create_task(begin(bench.blobs, route, digest))
    await settle()
    return task


async def pulled(bench: Workbench, route: Route = MIRROR) -> None:
    assert await fetch(bench.blobs, route, DIGEST) == LAYER
    await fills_ended()


async def filling(upstream: ScriptedUpstream, bench: Workbench) -> "asyncio.Task[bytes]":
    """Another repository downloads it just now."""
    upstream.by_hand.add(DIGEST)
    task = asyncio.create_task(fetch(bench.blobs, MIRROR, DIGEST))
    await upstream.until_asked("blob")
    await settle()
    return task


async def hold_manifest(bench: Workbench, repository: Repository, image: Image) -> Manifest:
    """As if it had been pulled in this repository."""
    manifest = manifest_of(image)
    await bench.store.put(manifest.digest, manifest.content)
    await bench.facts.put_manifest(
        repository, manifest.descriptor, parse_references(manifest), bench.clock.now()
    )
    return manifest


def place_of(root: Path, digest: Digest) -> Path:
    """Where its file is on disk."""
    return root / "blobs" / digest.algorithm / digest.encoded[:2] / digest.encoded


def rewrite(root: Path, digest: Digest, content: bytes) -> None:
    """Damage the file."""
    place = place_of(root, digest)
    place.chmod(0o600)
    place.write_bytes(content)
