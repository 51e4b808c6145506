"""podman, buildah and skopeo, which share their configuration and their way to pull."""

import contextlib
import hashlib
import json
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from tests.clients.docker import first_word
from tests.clients.documentation import documented
from tests.clients.programs import Finished, clean_environment, find_program, run

POLICY = {"default": [{"type": "insecureAcceptAnything"}]}


@dataclass(frozen=True, slots=True)
class RegistriesConf:
    """A home with a ``registries.conf``, a ``policy.json`` and a place for logins."""

    folder: Path
    trust: Mapping[str, str]
    """Environment that names the authorities to believe."""

    @classmethod
    def written(cls, folder: Path, trust: Mapping[str, str]) -> "RegistriesConf":
        """What is documented: Docker Hub and another registry are pulled through the mirror."""
        text = documented("podman.md", "/etc/containers/registries.conf.d/50-mirror.conf")
        settings = folder / ".config" / "containers"
        settings.mkdir(parents=True)
        (settings / "registries.conf").write_text(text)
        (settings / "policy.json").write_text(json.dumps(POLICY))
        return cls(folder, trust)

    @property
    def env(self) -> dict[str, str]:
        return clean_environment(self.folder, {"TMPDIR": str(self.folder), **self.trust})

    @property
    def logins(self) -> Path:
        return self.folder / ".docker" / "config.json"


@dataclass(frozen=True, slots=True)
class Storage:
    """Where podman and buildah keep images. The vfs driver mounts nothing."""

    folder: Path

    @property
    def options(self) -> tuple[str, ...]:
        # Where sockets go: podman takes 50 characters at most. /run is private to this suite.
        runroot = f"/run/{hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]}"
        root = ("--root", str(self.folder / "root"), "--runroot", runroot)
        return (*root, "--storage-driver", "vfs")


@dataclass(frozen=True, slots=True)
class Podman:
    conf: RegistriesConf
    storage: Storage
    name: str = "podman"

    async def command(self, *arguments: str) -> Finished:
        # Debian's crun wants cgroups of one version; runc takes what is there.
        options = ("--cgroup-manager", "cgroupfs", "--runtime", find_program("runc"))
        argv = (find_program("podman"), *self.storage.options, *options, *arguments)
        return await run(argv, self.conf.env)

    async def pull(self, image: str) -> Finished:
        return await self.command("pull", image)

    async def told(self, image: str) -> str:
        ran = await self.command("run", "--rm", "--pull", "never", "--network", "none", image)
        return first_word(ran.checked().output)

    async def forget(self) -> None:
        (await self.command("rmi", "--all", "--force")).checked()


@dataclass(frozen=True, slots=True)
class Buildah:
    """Unpacks images and looks into them; podman, which shares its code, runs them."""

    conf: RegistriesConf
    storage: Storage
    name: str = "buildah"

    async def command(self, *arguments: str) -> Finished:
        return await run(
            (find_program("buildah"), *self.storage.options, *arguments), self.conf.env
        )

    async def pull(self, image: str) -> Finished:
        return await self.command("pull", "--policy", "always", image)

    async def told(self, image: str) -> str:
        made = await self.command("from", "--pull-never", image)
        container = made.checked().output.strip()
        mounted = (await self.command("mount", container)).checked().output.strip()
        told = hashlib.sha256(Path(mounted, "content").read_bytes()).hexdigest()  # noqa: ASYNC240 - one small file
        (await self.command("rm", container)).checked()
        return told

    async def forget(self) -> None:
        (await self.command("rmi", "--all", "--force")).checked()


@dataclass(frozen=True, slots=True)
class Skopeo:
    """Copies images into a folder, and runs nothing: what an image would print is calculated."""

    conf: RegistriesConf
    folder: Path
    name: str = "skopeo"

    async def command(self, *arguments: str) -> Finished:
        return await run((find_program("skopeo"), *arguments), self.conf.env)

    async def pull(self, image: str) -> Finished:
        return await self.command("copy", f"docker://{image}", f"dir:{self._copy_of(image)}")

    async def told(self, image: str) -> str:
        copy = self._copy_of(image)
        manifest = json.loads((copy / "manifest.json").read_text())
        for described in (manifest["config"], *manifest["layers"]):
            digest = described["digest"].partition(":")[2]
            if hash_of(copy / digest) != digest:
                pytest.fail(f"skopeo stored other bytes as {digest}")
        last = copy / manifest["layers"][-1]["digest"].partition(":")[2]
        return digest_in(last)

    async def forget(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _copy_of(self, image: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / hashlib.sha256(image.encode()).hexdigest()[:12]


def hash_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digest_in(layer: Path) -> str:
    with tarfile.open(layer) as archive, contextlib.closing(content_of(archive)) as content:
        return hashlib.sha256(content.read()).hexdigest()


def content_of(archive: tarfile.TarFile) -> IO[bytes]:
    content = archive.extractfile("content")
    if content is None:
        pytest.fail("the last layer does not have the content")
    return content
