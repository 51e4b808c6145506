"""The mirror and its peers as servers of the same bytes."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import free_port, mirror_command, running

DISTRIBUTION = "github.com/distribution/distribution/v3/cmd/registry@v3.1.1"
TOOLS = Path(__file__).parent / ".tools"


@dataclass(frozen=True, slots=True)
class Peer:
    """A running server. ``path`` turns a registry path into the one this server knows."""

    name: str
    url: str
    pid: int
    path: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Origin:
    """The upstream they all mirror: where it listens, and who hands out its tokens."""

    url: str
    token_host: str


@asynccontextmanager
async def mirror(
    folder: Path, origin: Origin, more: Mapping[str, str] | None = None
) -> AsyncIterator[Peer]:
    """With its access log on, as it comes."""
    port = free_port()
    upstream = {"url": origin.url, "realms": [origin.token_host], "default": True}
    environ = {
        "MIRROR__LISTEN": f"127.0.0.1:{port}",
        "MIRROR__DATA": str(folder / "data"),
        "MIRROR__UPSTREAMS": json.dumps({"docker.io": upstream}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    command = mirror_command()
    settings = environ | dict(more or {})
    async with running(command, port, environ=settings, log=folder / "mirror.log") as process:
        yield Peer("mirror", f"http://127.0.0.1:{port}", process.pid, str)


@asynccontextmanager
async def nginx(folder: Path, root: Path, paths: Mapping[str, str]) -> AsyncIterator[Peer]:
    """Static files, two workers, sendfile, no access log: what the machine can do."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"""
        {"user root;" if os.geteuid() == 0 else ""}
        worker_processes 2; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
        events {{ worker_connections 1024; }}
        http {{
            access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
            client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
            scgi_temp_path {folder}/scgi;
            server {{ listen 127.0.0.1:{port} backlog=1024; root {root}; }}
        }}
        """
    )
    command = (_tool("nginx"), "-c", str(configuration), "-e", str(folder / "error.log"))
    async with running(command, port, log=folder / "nginx.log") as process:
        yield Peer("nginx", f"http://127.0.0.1:{port}", process.pid, lambda path: paths[path])


@asynccontextmanager
async def distribution(
    name: str, command: tuple[str, ...], folder: Path, origin: Origin | None
) -> AsyncIterator[Peer]:
    """As a pull-through cache of the origin, else as a registry to push to; its access log off
    and its log silent.
    """
    port = free_port()
    proxy = f'proxy: {{remoteurl: "{origin.url}"}}' if origin is not None else ""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    configuration = folder / "config.yml"
    configuration.write_text(
        f"""
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {folder}/data}}
  cache: {{blobdescriptor: inmemory}}
http: {{addr: "127.0.0.1:{port}"}}
{proxy}
"""
    )
    log = folder / "registry.log"
    async with running((*command, "serve", str(configuration)), port, log=log) as process:
        yield Peer(name, f"http://127.0.0.1:{port}", process.pid, str)


async def distributions() -> Mapping[str, tuple[str, ...]]:
    """Those that this machine has or can get, by name."""
    found: dict[str, tuple[str, ...]] = {}
    if (packaged := shutil.which("docker-registry")) is not None:
        found["distribution 2.8"] = (packaged,)
    if (built := await _distribution_v3()) is not None:
        found["distribution 3"] = (str(built),)
    return found


async def _distribution_v3() -> Path | None:
    program = TOOLS / "registry"
    go = shutil.which("go")
    if program.exists() or go is None:
        return program if program.exists() else None
    environ = {**os.environ, "GOBIN": str(TOOLS)}
    process = await asyncio.create_subprocess_exec(go, "install", DISTRIBUTION, env=environ)
    return program if await process.wait() == 0 else None


def _tool(name: str) -> str:
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path is None:
        raise RuntimeError(f"the bench needs {name}: install it (Debian: apt-get install {name})")
    return path
