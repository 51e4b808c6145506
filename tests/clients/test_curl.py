"""What a script sees: headers that say what the cache did, ranges, and errors with a reason."""

import json
from pathlib import Path

import pytest

from tests.clients.curl import Curl
from tests.clients.documentation import documented
from tests.clients.images import ARCHITECTURE, LARGE, make_sample, push
from tests.clients.mirror_server import HOST, OTHER, URL
from tests.clients.programs import clean_environment, find_program, run
from tests.simulated_hub import SimulatedHub, digest_of

MANIFEST = "/v2/library/hello/manifests/1"
HALF = LARGE // 2


@pytest.fixture
def curl(tmp_path: Path) -> Curl:
    return Curl(tmp_path / "curl")


@pytest.mark.usefixtures("mirror")
async def test_a_head_tells_all_about_a_manifest(curl: Curl, hub: SimulatedHub) -> None:
    sample = make_sample()
    push(hub, "library/hello", sample)
    first = await curl.headers(MANIFEST)
    (await curl.download(MANIFEST, "manifest")).checked()
    second = await curl.headers(MANIFEST)
    for headers in (first, second):
        assert headers["docker-content-digest"] == sample.digest
        assert headers["content-type"] == sample.content.media_type
        assert headers["content-length"] == str(sample.content.size)
    assert first["cache-status"].startswith("mirror; fwd=miss")
    assert second["cache-status"].startswith("mirror; hit")
    assert (curl.folder / "manifest").read_bytes() == sample.content.content
    assert hub.count("manifest", "GET", status=200) == 1


@pytest.mark.usefixtures("mirror")
async def test_a_download_is_continued(curl: Curl, hub: SimulatedHub) -> None:
    """``curl --continue-at -`` asks for the rest of what is there."""
    sample = make_sample(size=LARGE)
    push(hub, "library/hello", sample)
    path = f"/v2/library/hello/blobs/{sample.layer}"
    (await curl.download(path, "layer", "--range", f"0-{HALF - 1}")).checked()
    target = curl.folder / "layer"
    assert target.stat().st_size == HALF
    (await curl.download(path, "layer", "--continue-at", "-")).checked()
    assert digest_of(target.read_bytes()) == sample.layer
    assert hub.count("blob", "GET", digest=sample.layer) <= 2


@pytest.mark.usefixtures("mirror")
async def test_a_whole_image(curl: Curl, hub: SimulatedHub, other_hub: SimulatedHub) -> None:
    ours, theirs = make_sample(seed="ours"), make_sample("docker-list", seed="theirs")
    push(hub, "library/hello", ours)
    push(other_hub, "team/app", theirs)
    await curl.image("library/hello", "1")
    await curl.image(f"{OTHER}/team/app", theirs.digest)
    for digest in (*ours.blobs, *theirs.blobs):
        assert digest_of((curl.folder / digest).read_bytes()) == digest


@pytest.mark.usefixtures("mirror")
async def test_the_documented_script(hub: SimulatedHub, tmp_path: Path) -> None:
    sample = make_sample()
    push(hub, "library/hello", sample)
    script = documented("curl.md", "jq")
    assert "library/alpine" in script
    script = script.replace("library/alpine", "library/hello").replace("manifests/3", "manifests/1")
    script = script.replace('"amd64"', f'"{ARCHITECTURE}"')
    find_program("jq")
    argv = ("bash", "-euo", "pipefail", "-c", f"cd {tmp_path}\n{script}")
    told = (await run(argv, clean_environment(tmp_path))).checked().output
    assert told.count(": OK") == len(sample.blobs)


@pytest.mark.usefixtures("mirror")
async def test_what_is_not_there_has_a_reason(curl: Curl, hub: SimulatedHub) -> None:
    await hub.stop()
    answer = await curl.command("--no-fail", f"{URL}{MANIFEST}")
    (error,) = json.loads(answer.checked().output)["errors"]
    assert error["code"] == "MANIFEST_UNKNOWN"
    assert hub.host in error["message"]
    direct = await curl.command(
        "--no-fail", f"http://{HOST}/v2/docker.io/library/hello/manifests/1"
    )
    (error,) = json.loads(direct.checked().output)["errors"]
    assert error["code"] == "UNAVAILABLE"
