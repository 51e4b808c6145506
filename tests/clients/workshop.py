"""The daemons of a session, started when first needed, and the clients of a test."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.clients.client import Client
from tests.clients.containerd import Containerd, Ctr
from tests.clients.containers import Buildah, Podman, RegistriesConf, Skopeo, Storage
from tests.clients.docker import Docker, Dockerd
from tests.clients.documentation import THEIR_OTHER
from tests.clients.mirror_server import OTHER

CLIENTS = ("docker", "containerd", "podman", "buildah", "skopeo")
DaemonT = TypeVar("DaemonT", Dockerd, Containerd)


@dataclass(slots=True)
class Workshop:
    """``certificates`` is whom all clients trust to say who registry-1.docker.io is."""

    folder: Path
    certificates: Path
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
        return self._makers[name](folder)

    @property
    def _trust(self) -> dict[str, str]:
        return {"SSL_CERT_FILE": str(self.certificates)}

    @property
    def dockerd(self) -> Dockerd:
        if self._dockerd is None:
            alone = ("--iptables=false", "--bridge=none")
            folder = self._new_folder("dockerd")
            self._dockerd = self._started(Dockerd.configured(folder, self._trust, *alone))
        return self._dockerd

    @contextlib.contextmanager
    def other_dockerd(self, name: str) -> Iterator[Dockerd]:
        """One with networks: bridges and port mappings."""
        dockerd = Dockerd.configured(self._new_folder(name), self._trust)
        try:
            dockerd.start()
            yield dockerd
        finally:
            dockerd.stop()

    @property
    def containerd(self) -> Containerd:
        if self._containerd is None:
            self._containerd = self._started(Containerd.configured(self._new_folder("containerd")))
        return self._containerd

    def docker(self, folder: Path) -> Docker:
        folder.mkdir()
        return Docker(self.dockerd, folder)

    def ctr(self, folder: Path) -> Ctr:
        ctr = Ctr(self.containerd, folder / "certs.d", self._trust)
        ctr.use_mirror("docker.io", "docker.io")
        ctr.use_mirror(OTHER, THEIR_OTHER)
        return ctr

    def podman(self, folder: Path) -> Podman:
        return Podman(self._registries(folder), Storage(folder / "storage"))

    def buildah(self, folder: Path) -> Buildah:
        return Buildah(self._registries(folder), Storage(folder / "storage"))

    def skopeo(self, folder: Path) -> Skopeo:
        return Skopeo(self._registries(folder), folder / "copies")

    def _registries(self, folder: Path) -> RegistriesConf:
        return RegistriesConf.written(folder, self._trust)

    def _new_folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder

    def _started(self, daemon: DaemonT) -> DaemonT:
        self.stack.callback(daemon.stop)
        daemon.start()
        return daemon
