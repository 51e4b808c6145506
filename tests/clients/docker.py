"""A Docker daemon of our own, and the command line that talks to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.clients.documentation import documented
from tests.clients.programs import Finished, Program, clean_environment, find_program, run

FALLBACK = "Attempting next endpoint"
"""What the daemon's log says when the mirror was no use."""


@dataclass(slots=True)
class Dockerd:
    """Runs beside any other daemon. Everything of it is below its folder."""

    program: Program
    folder: Path

    @classmethod
    def configured(cls, folder: Path, env: Mapping[str, str], *options: str) -> "Dockerd":
        """Not started yet. Its settings are those that are documented."""
        settings = folder / "daemon.json"
        settings.write_text(documented("docker.md", "/etc/docker/daemon.json"))
        argv = [
            find_program("dockerd"),
            *("--data-root", str(folder / "root")),
            *("--exec-root", str(folder / "exec")),
            *("--host", f"unix://{folder}/docker.sock"),
            *("--pidfile", str(folder / "docker.pid")),
            *("--config-file", str(settings)),
            # The first failure of a layer is tried again after 5 s, and that is all.
            *("--max-download-attempts", "2"),
            *options,
        ]
        program = Program(argv, clean_environment(folder, env), folder / "dockerd.log")
        return cls(program, folder)

    def start(self) -> None:
        self.program.start()
        self.program.wait_until(lambda: "API listen on" in self.program.log)

    def stop(self) -> None:
        """The daemon ends its containers and its containerd itself."""
        self.program.stop()

    def log_since(self, position: int) -> str:
        return self.program.log[position:]


@dataclass(frozen=True, slots=True)
class Docker:
    """``docker`` with a configuration folder of its own."""

    daemon: Dockerd
    config: Path
    more: Mapping[str, str] = field(default_factory=dict)
    name: str = "docker"

    async def command(self, *arguments: str) -> Finished:
        env = {
            "DOCKER_HOST": f"unix://{self.daemon.folder}/docker.sock",
            "DOCKER_CONFIG": str(self.config),
            "DOCKER_BUILDKIT": "0",
            **self.more,
        }
        return await run((find_program("docker"), *arguments), clean_environment(self.config, env))

    async def pull(self, image: str) -> Finished:
        return await self.command("pull", image)

    async def told(self, image: str) -> str:
        ran = await self.command("run", "--rm", "--network", "none", image)
        return first_word(ran.checked().output)

    async def forget(self) -> None:
        containers = (await self.command("ps", "-aq")).checked().output.split()
        if containers:
            (await self.command("rm", "-fv", *containers)).checked()
        (await self.command("system", "prune", "--all", "--force", "--volumes")).checked()


def first_word(output: str) -> str:
    return next(iter(output.split()), "")
