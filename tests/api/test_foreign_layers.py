"""Addresses that a manifest names are for its readers: the mirror never goes there (row 48).

Whoever may push an image upstream could otherwise make the mirror ask anything of its own network.
"""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from mirror.oci.media_type import DOCKER_FOREIGN_LAYER_GZIP, OCI_FOREIGN_LAYER
from tests.api.site import NAME, SMALL, Site, blob_path, manifest_path, running_site
from tests.simulated_hub import Canary, Image, Index, SimulatedHub, blob, digest_of
from tests.simulated_hub.content import (
    DOCKER,
    OCI,
    MediaTypes,
    Platform,
    descriptor,
    encoded,
    image_of,
    make_config,
)

ELSEWHERE = blob("elsewhere", 5_000)
KINDS = {"oci": (OCI, OCI_FOREIGN_LAYER), "docker": (DOCKER, DOCKER_FOREIGN_LAYER_GZIP)}


@dataclass(frozen=True, slots=True)
class Bait:
    """A site on whose hub everything that can name addresses names a canary's."""

    site: Site
    index: Index
    image: Image


def made_with(urls: Mapping[str, object], types: MediaTypes, foreign: str) -> Index:
    """An index of one image of a layer that registries have and one that they have not."""
    config = make_config([digest_of(SMALL), digest_of(ELSEWHERE)], Platform())
    manifest = {
        "schemaVersion": 2,
        "mediaType": types.manifest,
        "config": {**descriptor(config, types.config), **urls},
        "layers": [
            {**descriptor(SMALL, types.layer), **urls},
            {**descriptor(ELSEWHERE, foreign), **urls},
        ],
    }
    image = image_of(encoded(manifest), types.manifest, config, [SMALL], Platform())
    entries = [{**descriptor(image.content, types.manifest), **urls}]
    content = encoded({"schemaVersion": 2, "mediaType": types.index, "manifests": entries})
    return Index(content, types.index, digest_of(content), (image,))


@pytest.fixture(params=KINDS)
async def bait(
    request: pytest.FixtureRequest, tmp_path: Path, hub: SimulatedHub
) -> AsyncIterator[Bait]:
    """Until the mirror has ended nobody may have talked to the canary."""
    async with Canary(token="bait") as canary:
        addresses = [f"{canary.url}/layer", f"http://someone:secret@{canary.host}/layer"]
        index = made_with({"urls": addresses}, *KINDS[request.param])
        (image,) = index.images
        assert isinstance(image, Image)
        async with running_site(tmp_path, hub) as site:
            hub.push(NAME, "foreign", index)
            yield Bait(site, index, image)
        await canary.quiet()
        assert (canary.connections, canary.received) == (0, b"")


async def test_a_pull_goes_to_the_registry_for_everything(bait: Bait) -> None:
    for _ in ("cold", "warm"):
        for reference in ("foreign", bait.index.digest):
            answer = await bait.site.ask(manifest_path(reference))
            assert (answer.status, answer.body) == (200, bait.index.content)
        answer = await bait.site.ask(manifest_path(bait.image))
        assert (answer.status, answer.body) == (200, bait.image.content)
        assert len(json.loads(answer.body)["layers"][1]["urls"]) == 2
        for digest, content in bait.image.blobs.items():
            answer = await bait.site.ask(blob_path(digest))
            assert (answer.status, answer.body) == (200, content)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_only_others_have_is_not_here(bait: Bait, method: str) -> None:
    """Before anything is known of it, and when a manifest that names it is held."""
    path = blob_path(ELSEWHERE)
    assert (await bait.site.ask(path, method=method)).status == 404
    for reference in ("foreign", bait.image):
        assert (await bait.site.ask(manifest_path(reference))).status == 200
    for lines in ((), ("Range: bytes=0-9",)):
        assert (await bait.site.ask(path, *lines, method=method)).status == 404


async def test_nor_is_it_looked_for_when_the_upstream_is_away(bait: Bait) -> None:
    for reference in ("foreign", bait.image):
        assert (await bait.site.ask(manifest_path(reference))).status == 200
    await bait.site.hub.stop()
    for digest in (*bait.image.blobs, digest_of(ELSEWHERE)):
        assert (await bait.site.ask(blob_path(digest))).status == 404
