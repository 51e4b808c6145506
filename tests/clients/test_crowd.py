"""Many clients of every kind want the same image that is not here yet, at the same moment."""

import asyncio
from pathlib import Path

import pytest

from tests.clients.client import pulled
from tests.clients.curl import Curl
from tests.clients.images import LARGE, make_sample, push
from tests.clients.workshop import CLIENTS, Workshop
from tests.simulated_hub import SimulatedHub

HELLO = "docker.io/library/hello:1"
SCRIPTS = 3
BANDWIDTH = 4 * 1024 * 1024
"""Bytes a second upstream, so that all of them arrive while the layer is under way."""


@pytest.mark.usefixtures("mirror")
async def test_one_download_for_everybody(
    workshop: Workshop, hub: SimulatedHub, tmp_path: Path
) -> None:
    sample = make_sample(size=LARGE)
    push(hub, "library/hello", sample)
    hub.bandwidth = BANDWIDTH
    clients = [workshop.make(name, tmp_path / name) for name in CLIENTS]
    scripts = [Curl(tmp_path / f"curl{number}") for number in range(SCRIPTS)]
    try:
        told, _ = await asyncio.gather(
            asyncio.gather(*(pulled(client, HELLO) for client in clients)),
            asyncio.gather(*(script.image("library/hello", "1") for script in scripts)),
        )
    finally:
        await asyncio.gather(*(client.forget() for client in clients))
    assert told == [sample.told] * len(clients)
    for digest in sample.blobs:
        assert hub.count("blob", digest=digest) == 1
    for digest in sample.manifests:
        assert len(answered_gets(hub, digest)) == 1
    assert hub.tokens.issued == 1


def answered_gets(hub: SimulatedHub, digest: str) -> list[str]:
    """GETs of this manifest, by tag or by digest, that were let in."""
    return [
        each.target
        for each in hub.find("manifest", "GET", status=200)
        if each.reference in (digest, "1")
        and hub.repositories.by_name["library/hello"].tags.get(each.reference, each.reference)
        == digest
    ]
