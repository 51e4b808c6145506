"""The program under test as users run it: a process of its own with a configuration file."""

import asyncio
import http.client
import json
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.clients.programs import Program, clean_environment
from tests.simulated_hub import SimulatedHub

PORT = 5000
"""Daemons are told once where their mirror is, so every mirror of the session is there."""

HOST = f"127.0.0.1:{PORT}"
URL = f"http://{HOST}"
REPOSITORY = Path(__file__).parents[2]
OTHER = "ghcr.example"
"""The name of a second upstream."""


def upstream(hub: SimulatedHub, **settings: object) -> dict[str, object]:
    return {"url": hub.url, "realms": [hub.token_host], **settings}


@dataclass(frozen=True, slots=True)
class MirrorServer:
    """A mirror that can be started, killed and started again on the same data."""

    program: Program
    data: Path

    @classmethod
    def configured(cls, folder: Path, settings: Mapping[str, object]) -> "MirrorServer":
        """Not started yet. Everything it keeps and writes is below the folder."""
        data = folder / "data"
        config = {
            "listen": HOST,
            "data": str(data),
            "cache": {"min_free": "1MiB"},
            "log": {"format": "json"},
            **settings,
        }
        # Every JSON document is a YAML document.
        path = folder / "mirror.yaml"
        path.write_text(json.dumps(config))
        return cls(_program(path), data)

    @classmethod
    def shipped(cls, folder: Path, env: Mapping[str, str]) -> "MirrorServer":
        """As ``make serve`` runs it: with the file at the top of the repository, as it is."""
        path = folder / "mirror.yaml"
        path.write_text((REPOSITORY / "mirror.yaml").read_text())
        return cls(_program(path, env), folder / "data")

    async def start(self) -> None:
        self.program.start()
        await asyncio.to_thread(self.program.wait_until, is_ready)

    def terminate(self) -> None:
        """As ``docker stop`` and systemd do; does not wait."""
        self.program.signal(signal.SIGTERM)

    async def refuses(self) -> None:
        """Wait until it accepts nobody any more, as it does while it ends."""
        await asyncio.to_thread(self.program.wait_until, refuses_connections)

    def stop(self) -> None:
        self.program.stop()


def _program(configuration: Path, env: Mapping[str, str] | None = None) -> Program:
    folder = configuration.parent
    command = str(Path(sys.executable).parent / "mirror")
    argv = (command, "serve", "--config", str(configuration))
    return Program(argv, clean_environment(folder, env), folder / "mirror.log")


def is_ready() -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def refuses_connections() -> bool:
    try:
        socket.create_connection(("127.0.0.1", PORT), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False
