"""The images that are put into the simulated hub."""

import hashlib
import io
import json
import tarfile
import zlib

import pytest

from tests.simulated_hub import (
    DOCKER,
    OCI,
    MediaTypes,
    blob,
    digest_of,
    make_artifact,
    make_image,
    make_index,
    make_rootfs_image,
    make_runnable_image,
    tar_layer,
)


def unpacked(layer: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(zlib.decompress(layer, 31))) as archive:
        return {entry.name: entry for entry in archive.getmembers()}


def test_a_blob_is_the_same_every_time_and_does_not_compress() -> None:
    first = blob("seed", 100_000)
    assert hashlib.sha256(first).hexdigest() == (
        "27d71cdfad988b62f3067df72df9eb8e4de9d5383fcc183630cee67aa178bcd2"
    )
    assert blob(1, 10) != blob("1", 10) != blob(2, 10)
    assert len(zlib.compress(first)) > 99_000


@pytest.mark.parametrize("size", [0, 1, 16 * 1024 * 1024 + 1])
def test_a_blob_has_the_size_asked_for(size: int) -> None:
    assert len(blob(0, size)) == size


@pytest.mark.parametrize(("docker", "types"), [(False, OCI), (True, DOCKER)])
def test_an_image_names_its_blobs_by_digest_and_size(docker: bool, types: MediaTypes) -> None:  # noqa: FBT001 - a parameter of the test
    layers = [blob(1, 10), blob(2, 20)]
    image = make_image(layers=layers, docker=docker)
    manifest = json.loads(image.content)
    assert image.media_type == manifest["mediaType"] == types.manifest
    assert image.digest == digest_of(image.content)
    assert image.size == len(image.content)
    assert [each["digest"] for each in manifest["layers"]] == list(image.layers)
    assert [each["size"] for each in manifest["layers"]] == [10, 20]
    assert {each["mediaType"] for each in manifest["layers"]} == {types.layer}
    assert manifest["config"]["digest"] == image.config
    assert manifest["config"]["mediaType"] == types.config
    assert {digest_of(content): content for content in image.blobs.values()} == image.blobs
    assert set(image.blobs) == {image.config, *image.layers}


def test_a_given_config_is_used_as_it_is() -> None:
    image = make_image(layers=[], config=b"{}")
    assert image.blobs[image.config] == b"{}"


@pytest.mark.parametrize(("docker", "types"), [(False, OCI), (True, DOCKER)])
def test_an_index_names_each_image_with_its_platform(docker: bool, types: MediaTypes) -> None:  # noqa: FBT001 - a parameter of the test
    arm = make_image(layers=[b"arm"], architecture="arm", variant="v7", docker=docker)
    amd = make_image(layers=[b"amd"], docker=docker)
    index = make_index([arm, amd], docker=docker)
    value = json.loads(index.content)
    assert index.media_type == value["mediaType"] == types.index
    assert index.digest == digest_of(index.content)
    assert [each["digest"] for each in value["manifests"]] == [arm.digest, amd.digest]
    assert [each["platform"] for each in value["manifests"]] == [
        {"architecture": "arm", "os": "linux", "variant": "v7"},
        {"architecture": "amd64", "os": "linux"},
    ]


def test_an_index_may_hold_an_index() -> None:
    inner = make_index([make_image(layers=[])])
    outer = json.loads(make_index([inner]).content)
    assert outer["manifests"][0]["mediaType"] == OCI.index
    assert "platform" not in outer["manifests"][0]


def test_an_artifact_names_its_subject() -> None:
    image = make_image(layers=[])
    note = json.loads(make_artifact(image, b"signed", "application/vnd.example.sig").content)
    assert note["subject"]["digest"] == image.digest
    assert note["artifactType"] == "application/vnd.example.sig"


def test_the_diff_id_is_the_digest_before_compression() -> None:
    layer, diff_id = tar_layer({"etc/motd": b"hello\n"})
    assert digest_of(zlib.decompress(layer, 31)) == diff_id
    assert tar_layer({"etc/motd": b"hello\n"}) == (layer, diff_id)


def test_a_layer_holds_files_and_their_folders() -> None:
    layer, _ = tar_layer({"usr/bin/tool": b"\x7fELF", "etc/motd": b"hello\n"})
    entries = unpacked(layer)
    assert set(entries) == {"etc", "etc/motd", "usr", "usr/bin", "usr/bin/tool"}
    assert entries["usr/bin"].isdir()
    assert entries["usr/bin/tool"].mode == 0o755
    assert entries["etc/motd"].mode == 0o644
    assert {entry.mtime for entry in entries.values()} == {0}


def test_a_rootfs_image_has_true_diff_ids_and_a_history_of_the_same_length() -> None:
    image = make_rootfs_image([{"a": b"1"}, {"b": b"2"}], architecture="arm64")
    config = json.loads(image.blobs[image.config])
    plain = [zlib.decompress(image.blobs[layer], 31) for layer in image.layers]
    assert config["rootfs"] == {"type": "layers", "diff_ids": [digest_of(each) for each in plain]}
    assert len(config["history"]) == 2
    assert config["architecture"] == "arm64"


def test_a_runnable_image_starts_its_program() -> None:
    image = make_runnable_image(b"\x7fELF program", docker=True)
    config = json.loads(image.blobs[image.config])
    assert image.media_type == DOCKER.manifest
    assert config["config"]["Cmd"] == ["/bin/sh"]
    assert unpacked(image.blobs[image.layers[0]])["bin/sh"].mode == 0o755
