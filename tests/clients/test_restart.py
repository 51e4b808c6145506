"""The mirror is killed, or asked to stop, while it downloads a layer for somebody."""

import asyncio
from pathlib import Path

from tests.clients.client import Client, pulled
from tests.clients.curl import Curl
from tests.clients.docker import Docker
from tests.clients.images import LARGE, make_sample, push
from tests.clients.mirror_server import MirrorServer
from tests.simulated_hub import Fault, SimulatedHub, digest_of

HELLO = "docker.io/library/hello:1"
STEP = 3 * 1024 * 1024
PATIENT = 30.0


async def test_a_killed_download_goes_on_where_it_was(
    client: Client, hub: SimulatedHub, mirror: MirrorServer
) -> None:
    sample = make_sample(size=LARGE)
    push(hub, "library/hello", sample)
    hub.faults.add(Fault(route="blob", kind="stall", reference=sample.layer, at=STEP, times=1))
    pull = asyncio.create_task(client.pull(HELLO))
    await hub.wait_for(lambda: hub.stalled == 1, PATIENT)
    await asyncio.to_thread(mirror.program.wait_until, lambda: written(mirror) == STEP)
    await mirror.program.kill()
    hub.release()
    await mirror.start()
    await pull  # Some clients try again by themselves, others tell their user to.
    assert await pulled(client, HELLO) == sample.told
    first, second = hub.find("blob", "GET", digest=sample.layer)
    assert "Range" not in first.headers
    assert second.headers["Range"] == f"bytes={STEP}-"


async def test_a_stop_waits_for_downloads(
    hub: SimulatedHub, mirror: MirrorServer, tmp_path: Path
) -> None:
    sample = make_sample(size=LARGE)
    push(hub, "library/hello", sample)
    hub.faults.add(Fault(route="blob", kind="stall", reference=sample.layer, at=STEP, times=1))
    curls = [Curl(tmp_path / name) for name in ("one", "two", "three")]
    path = f"/v2/library/hello/blobs/{sample.layer}"
    downloads = [asyncio.create_task(curl.download(path, "layer")) for curl in curls]
    await hub.wait_for(lambda: hub.stalled == 1, PATIENT)
    for curl in curls:
        await asyncio.to_thread(mirror.program.wait_until, (curl.folder / "layer").exists)
    mirror.terminate()
    await mirror.refuses()
    hub.release()
    for download in downloads:
        (await download).checked()
    assert await mirror.program.ended() == 0
    for curl in curls:
        assert digest_of((curl.folder / "layer").read_bytes()) == sample.layer


async def test_a_stop_waits_for_a_pull(
    docker: Docker, hub: SimulatedHub, mirror: MirrorServer
) -> None:
    sample = make_sample(size=LARGE)
    push(hub, "library/hello", sample)
    hub.faults.add(Fault(route="blob", kind="stall", reference=sample.layer, at=STEP, times=1))
    pull = asyncio.create_task(docker.pull(HELLO))
    await hub.wait_for(lambda: hub.stalled == 1 and hub.count("blob") == len(sample.blobs), PATIENT)
    mirror.terminate()
    await mirror.refuses()
    hub.release()
    (await pull).checked()
    assert await docker.told(HELLO) == sample.told
    assert await mirror.program.ended() == 0


def written(mirror: MirrorServer) -> int:
    """Bytes of unfinished downloads that a crash would leave behind."""
    return sum(path.stat().st_size for path in (mirror.data / "ingest").glob("fill-*"))
