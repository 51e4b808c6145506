"""The daemons of a session, started when first needed, and the clients of a test."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import trustme

from tests.clients.client import Client
from tests.clients.containerd import Containerd, Ctr
from tests.clients.containers import NOWHERE, Buildah, Podman, RegistriesConf, Skopeo, Storage
from tests.clients.docker import Docker, Dockerd
from tests.clients.mirror_server import OTHER

CLIENTS = ("docker", "containerd", "podman", "buildah", "skopeo")
HUB = "https://registry-1.docker.io"
DaemonT = TypeVar("DaemonT", Dockerd, Containerd)


@dataclass(slots=True)
class Workshop:
    """``authority`` is whom the daemons trust to say who registry-1.docker.io is."""

    folder: Path
    authority: trustme.CA
    stack: contextlib.ExitStack
    _dockerd: Dockerd | None = None
    _containerd: Containerd | None = None
    _makers: dict[str, Callable[[Path], Client]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._makers = {
            "docker": self.docker,
            "containerd": self.ctr,
            "podman": self.podman,
            "buildah": self.buildah,
            "skopeo": self.skopeo,
        }

    def make(self, name: str, folder: Path) -> Client:
        """A client that keeps its settings in the folder, which is its own."""
        folder.mkdir(parents=True, exist_ok=True)
        return self._makers[name](folder)

    @property
    def dockerd(self) -> Dockerd:
        if self._dockerd is None:
            folder = self._new_folder("dockerd")
            certificates = folder / "ca.pem"
            self.authority.cert_pem.write_to_path(str(certificates))
            env = {"SSL_CERT_FILE": str(certificates)}
            alone = ("--iptables=false", "--bridge=none")
            self._dockerd = self._started(Dockerd.configured(folder, env, *alone))
        return self._dockerd

    @property
    def containerd(self) -> Containerd:
        if self._containerd is None:
            self._containerd = self._started(Containerd.configured(self._new_folder("containerd")))
        return self._containerd

    def docker(self, folder: Path) -> Docker:
        return Docker(self.dockerd, folder)

    def ctr(self, folder: Path) -> Ctr:
        ctr = Ctr(self.containerd, folder / "certs.d")
        ctr.use_mirror("docker.io", HUB)
        ctr.use_mirror(OTHER, f"http://{NOWHERE}")
        return ctr

    def podman(self, folder: Path) -> Podman:
        return Podman(registries_conf(folder), Storage(folder / "storage"))

    def buildah(self, folder: Path) -> Buildah:
        return Buildah(registries_conf(folder), Storage(folder / "storage"))

    def skopeo(self, folder: Path) -> Skopeo:
        return Skopeo(registries_conf(folder), folder / "copies")

    def _new_folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder

    def _started(self, daemon: DaemonT) -> DaemonT:
        self.stack.callback(daemon.stop)
        daemon.start()
        return daemon


def registries_conf(folder: Path) -> RegistriesConf:
    return RegistriesConf.written(folder, {"docker.io": NOWHERE, OTHER: NOWHERE})
