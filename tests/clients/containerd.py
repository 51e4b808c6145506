"""A containerd of our own, and ``ctr``."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.clients.docker import first_word
from tests.clients.documentation import documented
from tests.clients.mirror_server import HOST
from tests.clients.programs import Finished, Program, clean_environment, find_program, run

CONFIGURATION = """
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{folder}/containerd.sock"
"""


@dataclass(slots=True)
class Containerd:
    program: Program
    folder: Path

    @classmethod
    def configured(cls, folder: Path) -> "Containerd":
        """Not started yet."""
        path = folder / "config.toml"
        path.write_text(CONFIGURATION.format(folder=folder))
        argv = (find_program("containerd"), "--config", str(path))
        return cls(
            Program(argv, clean_environment(folder), folder / "containerd.log"),
            folder,
        )

    def start(self) -> None:
        self.program.start()
        self.program.wait_until(lambda: "containerd successfully booted" in self.program.log)

    def stop(self) -> None:
        self.program.stop()


@dataclass(frozen=True, slots=True)
class Ctr:
    """``ctr`` with mirrors of its own, in the files that containerd, Kubernetes and k3s read."""

    daemon: Containerd
    hosts: Path
    trust: Mapping[str, str]
    """Environment that names the authorities to believe."""
    name: str = "containerd"

    def use_mirror(self, registry: str, page: str) -> None:
        """Write the file for a registry as documented: ``page`` is its name there."""
        folder = self.hosts / registry
        folder.mkdir(parents=True, exist_ok=True)
        text = documented("containerd.md", f"/etc/containerd/certs.d/{page}/hosts.toml")
        (folder / "hosts.toml").write_text(text)

    async def command(self, *arguments: str) -> Finished:
        env = {
            "CONTAINERD_ADDRESS": f"{self.daemon.folder}/containerd.sock",
            # Plain folders work on every file system, inside containers too.
            "CONTAINERD_SNAPSHOTTER": "native",
            **self.trust,
        }
        return await run((find_program("ctr"), *arguments), clean_environment(self.hosts, env))

    async def pull(self, image: str) -> Finished:
        where = ("--plain-http",) if image.startswith(HOST) else ("--hosts-dir", str(self.hosts))
        return await self.command("images", "pull", *where, image)

    async def told(self, image: str) -> str:
        name = f"run-{uuid.uuid4().hex[:8]}"
        # Written by the shim: what is sent through ctr can be lost when the program ends at once.
        written = self.hosts / name
        ran = await self.command("run", "--rm", "--log-uri", f"file://{written}", image, name)
        ran.checked()
        return first_word(written.read_text())

    async def forget(self) -> None:
        images = (await self.command("images", "list", "-q")).checked().output.split()
        if images:
            (await self.command("images", "rm", "--sync", *images)).checked()
