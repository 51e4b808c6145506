"""What was asked of the hub: every request, how many were open at once, and waiting for more."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote

from multidict import CIMultiDict, MultiDict

from tests.simulated_hub.bell import Bell

PortKind = Literal["registry", "token", "cdn"]
Route = Literal["ping", "manifest", "blob", "tags", "referrers", "catalog", "token", "cdn", "other"]


@dataclass(slots=True, eq=False)
class Request:
    """One request; what is said of the answer changes while it is given."""

    port_kind: PortKind
    method: str
    target: str
    """Path and query exactly as they arrived, with their percent-encoding."""
    headers: CIMultiDict[str]
    body: bytes = b""
    route: Route = "other"
    name: str = ""
    reference: str = ""
    version: str = "HTTP/1.1"
    arrived: float = 0.0
    """By the clock of the event loop."""
    status: int | None = None
    sent: int = 0
    """Body bytes handed to the connection."""
    finished: bool = False
    completed: bool = False
    """The whole answer was handed over; False when the client left or a fault cut it."""

    @property
    def path(self) -> str:
        return unquote(self.target.partition("?")[0])

    @property
    def raw_query(self) -> str:
        return self.target.partition("?")[2]

    @property
    def query(self) -> MultiDict[str]:
        return MultiDict(parse_qsl(self.raw_query, keep_blank_values=True))

    @property
    def digest(self) -> str | None:
        return self.reference if ":" in self.reference else None

    @property
    def authorization(self) -> str | None:
        return self.headers.get("Authorization")


@dataclass(slots=True)
class RequestLog:
    requests: list[Request] = field(default_factory=list)
    open: int = 0
    most_open: int = 0
    keep: int | None = None
    """How many requests to remember at least; None: all of them."""
    bell: Bell = field(default_factory=Bell)

    def arrived(self, request: Request) -> None:
        request.arrived = asyncio.get_running_loop().time()
        self.requests.append(request)
        if self.keep is not None and len(self.requests) > 2 * self.keep:
            del self.requests[: -self.keep]
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        self.bell.ring()

    def answered(self, request: Request, status: int) -> None:
        request.status = status
        self.bell.ring()

    def finished(self, request: Request) -> None:
        request.finished = True
        self.open -= 1
        self.bell.ring()

    def matching(
        self,
        route: Route | None = None,
        method: str | None = None,
        *,
        digest: str | None = None,
        name: str | None = None,
        reference: str | None = None,
        status: int | None = None,
    ) -> list[Request]:
        wanted = digest if digest is not None else reference
        return [
            request
            for request in self.requests
            if route in (None, request.route)
            and method in (None, request.method)
            and wanted in (None, request.reference)
            and name in (None, request.name)
            and status in (None, request.status)
        ]

    async def wait_for(self, condition: Callable[[], bool], timeout: float) -> None:  # noqa: ASYNC109 - a failing test must say what did arrive
        try:
            async with asyncio.timeout(timeout):
                await self.bell.until(condition)
        except TimeoutError:
            seen = [f"{each.method} {each.target} -> {each.status}" for each in self.requests]
            raise TimeoutError(f"not within {timeout} s; requests so far: {seen}") from None
