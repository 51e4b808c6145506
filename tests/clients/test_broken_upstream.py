"""An upstream that breaks off, falls silent or sends other bytes, and what a client gets then."""

import itertools

import pytest

from tests.clients.client import Client, pulled
from tests.clients.conftest import MakeMirror
from tests.clients.images import LARGE, make_sample, push
from tests.clients.mirror_server import upstream
from tests.simulated_hub import Fault, Kind, SimulatedHub

HELLO = "docker.io/library/hello:1"
STEP = 2 * 1024 * 1024


@pytest.fixture
async def impatient(make_mirror: MakeMirror, hub: SimulatedHub) -> None:
    settings = {"docker.io": upstream(hub, default=True)}
    await make_mirror({"upstreams": settings, "timeouts": {"progress": "1s"}})


@pytest.mark.usefixtures("impatient")
async def test_a_layer_that_breaks_off_is_resumed(client: Client, hub: SimulatedHub) -> None:
    """Three times in one layer, in three ways, and the client notices nothing."""
    sample = make_sample(size=LARGE)
    push(hub, "library/hello", sample)
    kinds: tuple[Kind, ...] = ("reset", "close", "stall")
    for kind in kinds:
        hub.faults.add(Fault(route="blob", kind=kind, reference=sample.layer, at=STEP, times=1))
    assert await pulled(client, HELLO) == sample.told
    asked = hub.find("blob", "GET", digest=sample.layer)
    starts = [start_of(each.headers.get("Range")) for each in asked]
    assert len(starts) == 1 + len(kinds)
    assert starts[0] == 0
    assert all(0 < later - earlier <= STEP for earlier, later in itertools.pairwise(starts))


@pytest.mark.usefixtures("impatient")
async def test_other_bytes_never_become_an_image(client: Client, hub: SimulatedHub) -> None:
    sample = make_sample(size=LARGE)
    push(hub, "library/hello", sample)
    fault = hub.faults.add(Fault(route="blob", kind="flip", reference=sample.layer))
    assert (await client.pull(HELLO)).code != 0
    assert hub.faults.hits(fault)
    hub.faults.clear()
    # containerd may go on behind what it kept of those bytes; at the end it sees, and drops them.
    again = await client.pull(HELLO)
    assert not again.code or "unexpected commit digest" in again.errors, again.everything
    assert await pulled(client, HELLO) == sample.told


@pytest.mark.usefixtures("impatient")
async def test_another_manifest_is_never_taken(client: Client, hub: SimulatedHub) -> None:
    """Every byte can be wrong, those that still make a manifest above all."""
    sample, forged = make_sample(), make_sample(seed="forged")
    push(hub, "library/hello", sample)
    push(hub, "library/forged", forged)
    fault = hub.faults.add(
        Fault(
            route="manifest", method="GET", kind="status", status=200, body=forged.content.content
        )
    )
    assert (await client.pull(f"docker.io/library/hello@{sample.digest}")).code != 0
    assert hub.faults.hits(fault)
    hub.faults.clear()
    assert await pulled(client, f"docker.io/library/hello@{sample.digest}") == sample.told


def start_of(header: str | None) -> int:
    return 0 if header is None else int(header.removeprefix("bytes=").partition("-")[0])
