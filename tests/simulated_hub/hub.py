"""A whole Docker Hub on loopback: registry, token server and CDN, each on its own port.

`SimulatedHub` ties the parts together and is what tests hold. It knows nothing of the program
under test.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Literal, Self

from tests.simulated_hub.cdn import Cdn
from tests.simulated_hub.content import Image, Index
from tests.simulated_hub.faults import Fault, Faults
from tests.simulated_hub.listening import Listener
from tests.simulated_hub.log import PortKind, Request, RequestLog, Route
from tests.simulated_hub.reading import keeps_alive, read_request
from tests.simulated_hub.registry import Quota, Redirects, abuse_refusal, answer
from tests.simulated_hub.reply import Reply
from tests.simulated_hub.repositories import Repositories
from tests.simulated_hub.sending import Gate, Sender
from tests.simulated_hub.spoiling import manner_of, replacement, spoiled
from tests.simulated_hub.tokens import AuthMode, Tokens
from tests.simulated_hub.wire import Connection

PACED_ROUTES = frozenset(("blob", "cdn"))


class SimulatedHub:
    """`async with SimulatedHub() as hub:` runs it; every public attribute may change meanwhile.

    It behaves like Docker Hub, except that blobs are served directly: for its redirects set
    `hub.redirects = Redirects(blobs=307)`. `clock` gives seconds since the epoch and decides when
    tokens and signed addresses expire.
    """

    def __init__(
        self,
        *,
        auth: AuthMode = "bearer",
        users: Mapping[str, str] | None = None,
        token_lifetime: float = 300.0,
        clock: Callable[[], float] = time.time,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        self.repositories = Repositories()
        self.tokens = Tokens(self.repositories, auth, dict(users or {}))
        self.tokens.lifetime, self.tokens.clock = token_lifetime, clock
        self.cdn = Cdn(clock)
        self.faults = Faults()
        self.log = RequestLog()
        self.quota: Quota | None = None
        self.redirects = Redirects()
        self.ranges = True
        self.strict_accept = False
        """Whether a manifest is hidden from clients that do not accept its type."""
        self.abuse = False
        """Whether everything is refused with the 429 in plain text."""
        self.bandwidth: int | None = None
        """Bytes a second for each blob answer; None: as fast as it goes."""
        self.latency = 0.0
        """Seconds before the headers of every answer."""
        self._scheme: Literal["http", "https"] = "http" if tls is None else "https"
        self._gate = Gate(bell=self.log.bell)
        self._listeners: dict[PortKind, Listener] = {
            "registry": Listener(
                lambda link: self._talk(link, "registry"), self.log.bell, tls, port
            ),
            "token": Listener(lambda link: self._talk(link, "token"), self.log.bell, tls),
            "cdn": Listener(lambda link: self._talk(link, "cdn"), self.log.bell, tls),
        }

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()
        defects = [defect for each in self._listeners.values() for defect in each.defects]
        if defects and exc is None:
            raise ExceptionGroup("the simulated hub itself failed", defects)

    async def start(self) -> None:
        """Listen again on the ports of before."""
        for listener in self._listeners.values():
            listener.start()
        if not self.tokens.realm:
            self.tokens.realm = f"{self._scheme}://{self.token_host}/token"

    async def stop(self) -> None:
        """Gone: connections are reset and new ones refused. What it holds and logged stays."""
        for listener in self._listeners.values():
            await listener.stop()

    @property
    def url(self) -> str:
        return f"{self._scheme}://{self.host}"

    @property
    def host(self) -> str:
        return self._listeners["registry"].host

    @property
    def token_host(self) -> str:
        return self._listeners["token"].host

    @property
    def cdn_host(self) -> str:
        return self._listeners["cdn"].host

    @property
    def cdn_url(self) -> str:
        return f"{self._scheme}://{self.cdn_host}"

    def push(self, name: str, tag: str | None, content: Image | Index) -> None:
        """Put an image or index, and all it names, into a repository."""
        self.repositories.push(name, tag, content)

    def push_manifest(self, name: str, tag: str | None, content: bytes, media_type: str) -> str:
        """Put any bytes there as a manifest; the digest."""
        return self.repositories.push_manifest(name, tag, content, media_type)

    def push_blob(self, name: str, content: bytes) -> str:
        return self.repositories.push_blob(name, content)

    def move_tag(self, name: str, tag: str, content: Image | Index) -> None:
        """Let the tag name other content; what it named stays there by digest."""
        self.repositories.push(name, tag, content)

    def delete_tag(self, name: str, tag: str) -> None:
        self.repositories.delete_tag(name, tag)

    def delete_repository(self, name: str) -> None:
        self.repositories.delete_repository(name)

    def make_private(self, name: str, *readers: str) -> None:
        """From now on only these users may pull; to the others it does not exist."""
        self.repositories.make_private(name, *readers)

    def revoke_tokens(self) -> None:
        self.tokens.revoke()

    def release(self) -> None:
        """Let every stalled answer go on."""
        self._gate.release()

    @property
    def stalled(self) -> int:
        """Answers that a `stall` is holding now."""
        return self._gate.waiting

    @property
    def requests(self) -> list[Request]:
        return self.log.requests

    @property
    def open_requests(self) -> int:
        return self.log.open

    @property
    def most_open_requests(self) -> int:
        return self.log.most_open

    @property
    def connections(self) -> int:
        """How many were ever accepted, on all ports."""
        return sum(listener.accepted for listener in self._listeners.values())

    @property
    def open_connections(self) -> int:
        return sum(listener.open for listener in self._listeners.values())

    def find(
        self,
        route: Route | None = None,
        method: str | None = None,
        *,
        digest: str | None = None,
        name: str | None = None,
        reference: str | None = None,
        status: int | None = None,
    ) -> list[Request]:
        """The requests so far that match everything given."""
        return self.log.matching(
            route, method, digest=digest, name=name, reference=reference, status=status
        )

    def count(
        self,
        route: Route | None = None,
        method: str | None = None,
        *,
        digest: str | None = None,
        name: str | None = None,
        reference: str | None = None,
        status: int | None = None,
    ) -> int:
        return len(
            self.find(route, method, digest=digest, name=name, reference=reference, status=status)
        )

    async def wait_for(self, condition: Callable[[], bool], timeout: float = 30.0) -> None:  # noqa: ASYNC109 - the message on expiry needs the log
        """Return as soon as `condition` holds; it is asked again after every event here."""
        await self.log.wait_for(condition, timeout)

    async def _talk(self, connection: Connection, port_kind: PortKind) -> None:
        while request := await read_request(connection, port_kind):
            self.log.arrived(request)
            try:
                goes_on = await self._respond(request, connection)
            finally:
                self.log.finished(request)
            if not goes_on:
                return

    async def _respond(self, request: Request, connection: Connection) -> bool:
        """Whether the connection is still good for another request."""
        if self.latency:
            await asyncio.sleep(self.latency)
        reply, fault = self._decide(request)
        self.log.answered(request, reply.status)
        rate = self.bandwidth if request.route in PACED_ROUTES else None
        sender = Sender(connection, request, manner_of(fault), self._gate, rate)
        request.completed = await sender.send(reply)
        return request.completed and not reply.close and keeps_alive(request)

    def _decide(self, request: Request) -> tuple[Reply, Fault | None]:
        if self.abuse and request.port_kind != "cdn":
            return abuse_refusal(), None
        refusal = self.tokens.refusal(request)
        fault = self.faults.strike(request, let_in=refusal is None)
        if fault is not None and (reply := replacement(fault, request)) is not None:
            return reply, fault
        reply = refusal if refusal is not None else self._right_answer(request)
        if fault is None:
            return reply, None
        return spoiled(reply, self._completed(fault, request), request), fault

    def _right_answer(self, request: Request) -> Reply:
        if request.route == "token":
            return self.tokens.issue(request)
        return answer(request, self)

    def _completed(self, fault: Fault, request: Request) -> Fault:
        """Only the hub knows which other blob there is."""
        if fault.kind != "other_blob" or fault.body is not None:
            return fault
        return replace(fault, body=self.repositories.other_blob(request.reference))
