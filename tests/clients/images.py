"""Images that clients can pull, unpack and run, and that tell when run what they contain."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from platform import machine
from typing import Literal

import pytest

from tests.simulated_hub import Image, Index, SimulatedHub, blob, digest_of, make_index
from tests.simulated_hub import make_rootfs_image as make_image

Shape = Literal["docker-image", "docker-list", "oci-image", "oci-index"]
SHAPES: tuple[Shape, ...] = ("docker-image", "docker-list", "oci-image", "oci-index")

PROGRAM = ("/bin/busybox", "sha256sum", "/content")
"""What every image runs: the digest of a file in its last layer."""

SMALL = 100_000
LARGE = 8 * 1024 * 1024
"""Bytes of the file, and about as many of the layer: it does not compress."""


ARCHITECTURE = {"aarch64": "arm64"}.get(machine(), "amd64")


@cache
def busybox() -> bytes:
    """A static one: the images have no loader."""
    path = Path(os.environ.get("BUSYBOX", "/bin/busybox"))
    if not path.exists():
        pytest.skip("busybox-static is not installed")
    return path.read_bytes()


@dataclass(frozen=True, slots=True)
class Sample:
    """An image in a registry, and what is known of its one real platform."""

    content: Image | Index
    image: Image
    told: str
    """What it prints when it runs."""

    @property
    def digest(self) -> str:
        """Of what a tag names: the index where there is one."""
        return self.content.digest

    @property
    def layer(self) -> str:
        """The digest of the layer that holds the content."""
        return self.image.layers[-1]

    @property
    def blobs(self) -> tuple[str, ...]:
        return (self.image.config, *self.image.layers)

    @property
    def manifests(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.content.digest, self.image.digest)))


@cache
def make_sample(shape: Shape = "oci-index", seed: str = "content", size: int = SMALL) -> Sample:
    """An index also names an image for a machine that nobody has here."""
    docker = shape.startswith("docker")
    content = blob(seed, size)
    files = ({"bin/busybox": busybox()}, {"content": content})
    image = make_image(files, docker=docker, command=PROGRAM, architecture=ARCHITECTURE)
    told = digest_of(content).partition(":")[2]
    if shape.endswith("image"):
        return Sample(image, image, told)
    foreign = make_image(
        ({"content": b"for s390x"},), docker=docker, command=PROGRAM, architecture="s390x"
    )
    return Sample(make_index([foreign, image], docker=docker), image, told)


def push(hub: SimulatedHub, name: str, sample: Sample) -> None:
    """As tag 1."""
    hub.push(name, "1", sample.content)


def make_context(folder: Path, content: bytes, command: Sequence[str] = PROGRAM) -> Path:
    """What ``docker build`` makes an image of that nobody else has."""
    folder.mkdir()
    files = "COPY busybox /bin/busybox\nCOPY content /content"
    (folder / "Dockerfile").write_text(f"FROM scratch\n{files}\nCMD {json.dumps(command)}\n")
    (folder / "content").write_bytes(content)
    program = folder / "busybox"
    program.write_bytes(busybox())
    program.chmod(0o755)
    return folder
