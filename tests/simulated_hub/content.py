"""Registry content made to measure: blobs, images and indexes, equal in every run.

Layers are any bytes here; layers that a container engine can unpack are made in `rootfs`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PIECE = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class MediaTypes:
    manifest: str
    index: str
    config: str
    layer: str


OCI = MediaTypes(
    manifest="application/vnd.oci.image.manifest.v1+json",
    index="application/vnd.oci.image.index.v1+json",
    config="application/vnd.oci.image.config.v1+json",
    layer="application/vnd.oci.image.layer.v1.tar+gzip",
)
DOCKER = MediaTypes(
    manifest="application/vnd.docker.distribution.manifest.v2+json",
    index="application/vnd.docker.distribution.manifest.list.v2+json",
    config="application/vnd.docker.container.image.v1+json",
    layer="application/vnd.docker.image.rootfs.diff.tar.gzip",
)
EMPTY_CONFIG = b"{}"
EMPTY_CONFIG_TYPE = "application/vnd.oci.empty.v1+json"


@dataclass(frozen=True, slots=True)
class Platform:
    architecture: str = "amd64"
    os: str = "linux"
    variant: str | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """A manifest and every blob it names."""

    content: bytes
    media_type: str
    digest: str
    config: str
    layers: tuple[str, ...]
    blobs: Mapping[str, bytes]
    platform: Platform

    @property
    def size(self) -> int:
        return len(self.content)


@dataclass(frozen=True, slots=True)
class Index:
    """An index or manifest list, with the images it names."""

    content: bytes
    media_type: str
    digest: str
    images: "tuple[Image | Index, ...]"

    @property
    def size(self) -> int:
        return len(self.content)


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def blob(seed: int | str, size: int) -> bytes:
    """Bytes that do not compress; the same for the same seed and size, on any machine."""
    return b"".join(
        hashlib.shake_128(f"{seed!r}:{start}".encode()).digest(min(PIECE, size - start))
        for start in range(0, size, PIECE)
    )


def make_image(
    *,
    layers: Sequence[bytes],
    config: bytes | None = None,
    docker: bool = False,
    architecture: str = "amd64",
    os: str = "linux",
    variant: str | None = None,
) -> Image:
    """Without `config`, one that names the layers as they are: no engine can unpack it."""
    platform = Platform(architecture, os, variant)
    if config is None:
        config = make_config([digest_of(layer) for layer in layers], platform)
    types = DOCKER if docker else OCI
    content = encoded(
        {
            "schemaVersion": 2,
            "mediaType": types.manifest,
            "config": descriptor(config, types.config),
            "layers": [descriptor(layer, types.layer) for layer in layers],
        }
    )
    return image_of(content, types.manifest, config, layers, platform)


def make_artifact(
    subject: Image | Index, content: bytes, artifact_type: str = "application/vnd.example.note"
) -> Image:
    """An OCI manifest that refers to `subject`, as signatures and SBOMs do."""
    manifest = encoded(
        {
            "schemaVersion": 2,
            "mediaType": OCI.manifest,
            "artifactType": artifact_type,
            "config": descriptor(EMPTY_CONFIG, EMPTY_CONFIG_TYPE),
            "layers": [descriptor(content, artifact_type)],
            "subject": descriptor(subject.content, subject.media_type),
        }
    )
    return image_of(manifest, OCI.manifest, EMPTY_CONFIG, [content], Platform())


def make_index(images: Sequence[Image | Index], docker: bool = False) -> Index:  # noqa: FBT001, FBT002 - always called as docker=True
    types = DOCKER if docker else OCI
    content = encoded(
        {
            "schemaVersion": 2,
            "mediaType": types.index,
            "manifests": [entry(image) for image in images],
        }
    )
    return Index(content, types.index, digest_of(content), tuple(images))


def make_config(
    diff_ids: Sequence[str], platform: Platform, command: Sequence[str] = ("/bin/sh",)
) -> bytes:
    return encoded(
        {
            "created": "2024-01-01T00:00:00Z",
            **platform_json(platform),
            "config": {"Env": ["PATH=/usr/bin:/bin"], "Cmd": list(command)},
            "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
            "history": [
                {"created": "2024-01-01T00:00:00Z", "created_by": f"layer {position}"}
                for position in range(len(diff_ids))
            ],
        }
    )


def image_of(
    content: bytes, media_type: str, config: bytes, layers: Sequence[bytes], platform: Platform
) -> Image:
    names = tuple(digest_of(layer) for layer in layers)
    return Image(
        content=content,
        media_type=media_type,
        digest=digest_of(content),
        config=digest_of(config),
        layers=names,
        blobs={digest_of(config): config, **dict(zip(names, layers, strict=True))},
        platform=platform,
    )


def entry(child: Image | Index) -> dict[str, object]:
    described = descriptor(child.content, child.media_type)
    if isinstance(child, Index):
        return described
    return {**described, "platform": platform_json(child.platform)}


def descriptor(content: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def platform_json(platform: Platform) -> dict[str, str]:
    known = {"architecture": platform.architecture, "os": platform.os}
    return known if platform.variant is None else {**known, "variant": platform.variant}


def encoded(value: object) -> bytes:
    return json.dumps(value, indent=2).encode()
