"""What a server counted is still there in its next life, whatever it was."""

import json
from pathlib import Path

from tests.simulated_hub import Fault, SimulatedHub, blob, make_image
from tests.world import Mirror, running_mirror

IMAGE = make_image(layers=[blob("layer", 100_000)])
MANIFEST = f"/v2/library/app/manifests/{IMAGE.digest}"


async def upstream_figures(mirror: Mirror) -> dict[str, int]:
    stats = json.loads((await mirror.get("/api/v1/stats")).body)
    figures = stats["upstreams"]["docker.io"]
    return {name: figures[name] for name in ("requests", "errors", "bytes", "tokens")}


async def test_what_was_asked_of_an_upstream(hub: SimulatedHub, tmp_path: Path) -> None:
    hub.push("library/app", "1", IMAGE)
    async with running_mirror(tmp_path / "data", hub) as mirror:
        assert (await mirror.get(MANIFEST)).status == 200
        before = await upstream_figures(mirror)
    assert before["requests"] >= 3
    assert before["tokens"] == 1
    async with running_mirror(tmp_path / "data", hub) as mirror:
        assert await upstream_figures(mirror) == before
        assert (await mirror.get(f"/v2/library/app/blobs/{IMAGE.layers[0]}")).status == 200
        after = await upstream_figures(mirror)
    assert after["requests"] > before["requests"]
    assert after["tokens"] == 2


async def test_errors_are_counted_for_whom_and_what_they_are_about(
    hub: SimulatedHub, tmp_path: Path
) -> None:
    hub.faults.add(Fault(route="manifest", kind="status", status=500))
    async with running_mirror(tmp_path / "data", hub) as mirror:
        assert (await mirror.get("/v2/library/app/manifests/1")).status == 404
        assert (await mirror.get("/v2/library/app/nothing")).status == 404
        lines = (await mirror.get("/metrics")).body.decode().splitlines()
    errors = [
        line for line in lines if line.startswith("mirror_requests_total") and "error" in line
    ]
    assert errors == [
        'mirror_requests_total{kind="other",result="error",upstream=""} 1.0',
        'mirror_requests_total{kind="manifest",result="error",upstream="docker.io"} 1.0',
    ]
