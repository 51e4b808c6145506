"""When the mirror cannot help, clients go to the registry itself, at once and with success."""

import time

import pytest

from tests.clients.client import Client, pulled
from tests.clients.conftest import Clients
from tests.clients.docker import FALLBACK, Docker
from tests.clients.images import LARGE, make_sample, push
from tests.simulated_hub import Fault, Quota, SimulatedHub

HELLO = "docker.io/library/hello:1"
SOON = 5.0
"""Seconds: what dockerd waits before it tries a layer again."""


@pytest.mark.usefixtures("mirror")
async def test_a_good_pull_needs_no_fallback(docker: Docker, hub: SimulatedHub) -> None:
    sample = make_sample()
    push(hub, "library/hello", sample)
    before = len(docker.daemon.program.log)
    assert await pulled(docker, HELLO) == sample.told
    assert FALLBACK not in docker.daemon.log_since(before)


async def test_from_a_mirror_that_is_down(client: Client, origin: SimulatedHub) -> None:
    await fetched_soon(client, origin)


@pytest.mark.usefixtures("mirror")
async def test_from_an_upstream_that_is_down(
    client: Client, hub: SimulatedHub, origin: SimulatedHub
) -> None:
    await hub.stop()
    await fetched_soon(client, origin)


@pytest.mark.usefixtures("mirror")
async def test_from_an_upstream_that_allows_no_more_pulls(
    client: Client, hub: SimulatedHub, origin: SimulatedHub
) -> None:
    """Above all for podman, which would wait half a minute if it were told so."""
    push(hub, "library/hello", make_sample())
    hub.quota = Quota(limit=100, remaining=0)
    await fetched_soon(client, origin)


@pytest.mark.parametrize("name", ["docker", "containerd"])
@pytest.mark.parametrize("status", [404, 429, 500, 503])
@pytest.mark.usefixtures("mirror")
async def test_from_a_layer_that_fails(
    clients: Clients, hub: SimulatedHub, origin: SimulatedHub, name: str, status: int
) -> None:
    """The others stay with the mirror that had the manifest, whatever becomes of the layers."""
    sample = make_sample()
    push(hub, "library/hello", sample)
    hub.faults.add(Fault(route="blob", status=status, reference=sample.layer))
    await fetched_soon(clients(name), origin)


@pytest.mark.usefixtures("mirror")
async def test_from_other_bytes(docker: Docker, hub: SimulatedHub, origin: SimulatedHub) -> None:
    sample = make_sample(size=LARGE)
    push(hub, "library/hello", sample)
    push(origin, "library/hello", sample)
    hub.faults.add(Fault(route="blob", kind="flip", reference=sample.layer))
    before = len(docker.daemon.program.log)
    assert await pulled(docker, HELLO) == sample.told
    assert FALLBACK in docker.daemon.log_since(before)


async def fetched_soon(client: Client, origin: SimulatedHub) -> None:
    """The image comes from where it is, before anybody has waited to try again."""
    sample = make_sample()
    push(origin, "library/hello", sample)
    begun = time.monotonic()
    (await client.pull(HELLO)).checked()
    took = time.monotonic() - begun
    assert await client.told(HELLO) == sample.told
    assert origin.requests
    assert took < SOON
