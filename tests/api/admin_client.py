"""A client of an application under test, over a real connection on loopback."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from mirror.api.routes import make_application
from tests.api.services import MemoryMirror


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        assert self.headers["Content-Type"].startswith("application/json"), self.headers
        return json.loads(self.body)

    @property
    def problem(self) -> str:
        """The one thing that is wrong, as ``CODE: message``."""
        (error,) = self.json["errors"]
        return f"{error['code']}: {error['message']}"


@dataclass(frozen=True, slots=True)
class AdminClient:
    server: TestServer
    session: ClientSession

    async def get(self, path: str, **headers: str) -> Reply:
        return await self.ask("GET", path, headers)

    async def post(self, path: str, body: bytes | None = None, **headers: str) -> Reply:
        return await self.ask("POST", path, headers, body)

    async def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Reply:
        url = f"http://127.0.0.1:{self.server.port}{path}"
        async with self.session.request(method, url, headers=headers, data=body) as response:
            return Reply(response.status, response.headers, await response.read())


def make_server(mirror: MemoryMirror) -> TestServer:
    return TestServer(make_application(mirror.services), host="127.0.0.1")
