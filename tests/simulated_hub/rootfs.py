"""Images that a real engine can unpack and run: gzip tars whose diff ids are true."""

import io
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from tests.simulated_hub.content import (
    DOCKER,
    OCI,
    Image,
    Platform,
    descriptor,
    digest_of,
    encoded,
    image_of,
    make_config,
)

GZIP_WINDOW = 31  # zlib's way to say: 32 KiB window, gzip header
PROGRAM_PREFIXES = (b"\x7fELF", b"#!")


def tar_layer(files: Mapping[str, bytes]) -> tuple[bytes, str]:
    """The gzip tar of `files` by path, and its diff id: the digest before compression."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for folder in folders_of(files):
            archive.addfile(folder_entry(folder))
        for path, content in sorted(files.items()):
            archive.addfile(file_entry(path, content), io.BytesIO(content))
    plain = buffer.getvalue()
    return zlib.compress(plain, 6, GZIP_WINDOW), digest_of(plain)


def make_rootfs_image(
    files_per_layer: Sequence[Mapping[str, bytes]],
    *,
    docker: bool = False,
    architecture: str = "amd64",
    os: str = "linux",
    variant: str | None = None,
    command: Sequence[str] = ("/bin/sh",),
) -> Image:
    """An image with one real layer per mapping of path to content."""
    packed = [tar_layer(files) for files in files_per_layer]
    layers = [layer for layer, _ in packed]
    platform = Platform(architecture, os, variant)
    config = make_config([diff_id for _, diff_id in packed], platform, command)
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


def make_runnable_image(
    binary: bytes, *, docker: bool = False, architecture: str = "amd64"
) -> Image:
    """An image whose `/bin/sh` is `binary`, which should be static: there is no loader."""
    files = {
        "bin/sh": binary,
        "etc/group": b"root:x:0:\n",
        "etc/passwd": b"root:x:0:0:root:/:/bin/sh\n",
    }
    return make_rootfs_image([files], docker=docker, architecture=architecture)


def folders_of(files: Mapping[str, bytes]) -> list[str]:
    parents = {
        str(parent)
        for path in files
        for parent in PurePosixPath(path).parents
        if str(parent) not in (".", "/")
    }
    return sorted(parents)


def folder_entry(path: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path.strip("/") + "/")
    entry.type = tarfile.DIRTYPE
    entry.mode = 0o755
    return entry


def file_entry(path: str, content: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path.strip("/"))
    entry.size = len(content)
    runs = content.startswith(PROGRAM_PREFIXES) or "bin" in PurePosixPath(path).parts[:-1]
    entry.mode = 0o755 if runs else 0o644
    return entry
