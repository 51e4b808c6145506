"""oras and crane against hosted repositories: artifacts, what refers to them, and copies."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.artifacts import Crane, Oras
from tests.clients.images import Sample, make_sample, push
from tests.clients.mirror_server import HOST, MirrorServer
from tests.simulated_hub import SimulatedHub

NOTES = f"{HOST}/notes:1"
SBOM, SIGNATURE = "application/spdx+json", "application/vnd.example.signature"


@pytest.fixture
def oras(tmp_path: Path) -> Oras:
    folder = tmp_path / "oras"
    folder.mkdir()
    (folder / "note.txt").write_text("made here\n")
    (folder / "sbom.json").write_text('{"spdxVersion": "SPDX-2.3"}')
    (folder / "signature").write_bytes(bytes(range(256)))
    return Oras(folder)


@pytest.fixture
def crane(tmp_path: Path) -> Crane:
    folder = tmp_path / "crane"
    folder.mkdir()
    return Crane(folder)


@pytest.fixture
def hello(hub: SimulatedHub) -> Sample:
    """An image of Docker Hub."""
    sample = make_sample()
    push(hub, "library/hello", sample)
    return sample


@pytest.mark.usefixtures("mirror")
async def test_artifacts_come_back_as_they_were(oras: Oras) -> None:
    files = ("note.txt:text/plain", "signature:application/octet-stream")
    (await oras.command("push", "--plain-http", NOTES, *files)).checked()
    (await oras.command("pull", "--plain-http", "-o", "back", NOTES)).checked()
    for name in ("note.txt", "signature"):
        assert (oras.folder / "back" / name).read_bytes() == (oras.folder / name).read_bytes()
    listed = await oras.command("repo", "tags", "--plain-http", f"{HOST}/notes")
    assert listed.checked().output.split() == ["1"]


@pytest.mark.usefixtures("mirror")
async def test_what_is_attached_is_discovered(oras: Oras) -> None:
    (await oras.command("push", "--plain-http", NOTES, "note.txt")).checked()
    assert await oras.discover(NOTES) == []
    sbom = await oras.attach(NOTES, SBOM, "sbom.json")
    signature = await oras.attach(NOTES, SIGNATURE, "signature")
    of_sbom = await oras.attach(f"{HOST}/notes@{sbom}", SIGNATURE, "signature")

    assert {each["digest"] for each in await oras.discover(NOTES)} == {sbom, signature}
    (found,) = await oras.discover(NOTES, "--artifact-type", SBOM)
    assert (found["digest"], found["artifactType"]) == (sbom, SBOM)
    (found,) = await oras.discover(f"{HOST}/notes@{sbom}")
    assert found["digest"] == of_sbom

    (await oras.command("pull", "--plain-http", "-o", "back", f"{HOST}/notes@{sbom}")).checked()
    assert (oras.folder / "back" / "sbom.json").read_text() == '{"spdxVersion": "SPDX-2.3"}'
    removal = ("manifest", "delete", "--force", "--plain-http", f"{HOST}/notes@{signature}")
    (await oras.command(*removal)).checked()
    assert {each["digest"] for each in await oras.discover(NOTES)} == {sbom}


@pytest.mark.usefixtures("mirror")
async def test_what_is_attached_is_copied_along(oras: Oras) -> None:
    (await oras.command("push", "--plain-http", NOTES, "note.txt")).checked()
    sbom = await oras.attach(NOTES, SBOM, "sbom.json")
    signature = await oras.attach(f"{HOST}/notes@{sbom}", SIGNATURE, "signature")
    plain, copy = ("--from-plain-http", "--to-plain-http"), f"{HOST}/local/copy:2"
    (await oras.command("copy", "--recursive", *plain, NOTES, copy)).checked()
    assert [each["digest"] for each in await oras.discover(copy)] == [sbom]
    (found,) = await oras.discover(f"{HOST}/local/copy@{sbom}")
    assert found["digest"] == signature


async def test_a_copy_of_what_is_proxied_is_hosted_and_a_copy_of_that_moves_no_blob(
    crane: Crane, hello: Sample, mirror: MirrorServer
) -> None:
    """Also when the copy is named as what it is of: that is not here before it was pushed."""
    source = f"{HOST}/library/hello:1"
    before: list[tuple[str, str]] = []
    for target in (f"{HOST}/hello:1", f"{HOST}/local/team/hello:2"):
        before = list(requests(mirror))
        (await crane.command("copy", source, target)).checked()
        assert await crane.lines("digest", target) == [hello.digest]
        (await crane.command("validate", "--remote", target)).checked()
        source = target
    assert await crane.lines("catalog", HOST) == [
        *("docker.io/library/hello", "hello", "local/team/hello")
    ]
    second = list(requests(mirror))[len(before) :]
    written = [path for method, path in second if method in ("PATCH", "PUT")]
    assert written
    assert not [path for path in written if "/blobs/" in path]


@pytest.mark.usefixtures("mirror", "hello")
async def test_images_are_pushed_listed_tagged_and_deleted(crane: Crane) -> None:
    layout = str(crane.folder / "layout")
    (await crane.command("pull", "--format", "oci", f"{HOST}/library/hello:1", layout)).checked()
    (await crane.command("push", "--index", layout, f"{HOST}/pushed:1")).checked()
    (digest,) = await crane.lines("digest", f"{HOST}/pushed:1")
    (await crane.command("tag", f"{HOST}/pushed:1", "stable")).checked()
    assert await crane.lines("ls", f"{HOST}/pushed") == ["1", "stable"]
    assert await crane.lines("catalog", HOST) == ["docker.io/library/hello", "pushed"]
    (await crane.command("validate", "--remote", f"{HOST}/pushed:stable")).checked()

    (await crane.command("delete", f"{HOST}/pushed:1")).checked()
    assert await crane.lines("ls", f"{HOST}/pushed") == ["stable"]
    assert await crane.lines("digest", f"{HOST}/pushed:stable") == [digest]
    (await crane.command("delete", f"{HOST}/pushed@{digest}")).checked()
    gone = await crane.command("manifest", f"{HOST}/pushed@{digest}")
    assert "MANIFEST_UNKNOWN" in gone.errors
    assert await crane.lines("ls", f"{HOST}/pushed") == []


def requests(mirror: MirrorServer) -> Iterator[tuple[str, str]]:
    """Method and path of every request so far."""
    for line in mirror.program.log.splitlines():
        entry = json.loads(line)
        if "method" in entry:
            yield entry["method"], entry["path"]
