"""Commands as a shell would run them, against servers that are really listening."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

import pytest
from click.testing import CliRunner

from mirror.cli import cli
from tests.api.admin_client import make_server
from tests.api.services import MemoryMirror

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


@dataclass(frozen=True, slots=True)
class Shell:
    """``environ`` comes on top of the one tests run in, whose MIRROR_URL does not count."""

    environ: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: str) -> Ran:
        runner = CliRunner(env={"MIRROR_URL": None, **self.environ})
        result = runner.invoke(cli, arguments, prog_name="mirror")
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        assert "Traceback" not in result.output
        return Ran(result.exit_code, result.stdout, result.stderr)


@dataclass(frozen=True, slots=True)
class Running:
    """A mirror that listens, in a thread of its own."""

    url: str
    mirror: MemoryMirror
    loop: asyncio.AbstractEventLoop

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)


Serve = Callable[[MemoryMirror], Running]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Let a mirror listen until the test ends."""
    with ExitStack() as stack:
        yield lambda mirror: stack.enter_context(_listening(mirror))


@contextmanager
def _listening(mirror: MemoryMirror) -> Iterator[Running]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = make_server(mirror)
    try:
        asyncio.run_coroutine_threadsafe(server.start_server(), loop).result(10)
        yield Running(f"http://127.0.0.1:{server.port}", mirror, loop)
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@dataclass(slots=True)
class Impostor:
    """A server that says whatever a test wants, and remembers what it was asked."""

    url: str = ""
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def impostor() -> Iterator[Impostor]:
    impostor = Impostor()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            impostor.asked.append(self.requestline)
            self.send_response(impostor.status)
            for name, value in impostor.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(impostor.body)

        do_POST = do_GET  # noqa: N815 - the name that http.server looks for

        def log_message(self, *_: object) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    impostor.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield impostor
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
