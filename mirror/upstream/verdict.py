"""What an answer other than success means."""

from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import ClientResponse

from mirror.oci import media_type as types
from mirror.ports.clock import Clock
from mirror.ports.upstream import (
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamInvalid,
    UpstreamThrottled,
)
from mirror.upstream.connection import Connection
from mirror.upstream.errors import LinkRefused, QuotaExhausted, UpstreamBusy, excerpt
from mirror.upstream.origin import origin_of
from mirror.upstream.problem import Problem, parse_problem, parse_retry_after
from mirror.upstream.redirect import Answer

_REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_UNSUPPORTED = (HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
_ERROR_LIMIT = 64 * 1024
_PULL_LIMIT = "TOOMANYREQUESTS"


@dataclass(frozen=True, slots=True)
class _Reading:
    problem: Problem | None
    text: str


class Verdict:
    """Turns error answers into the port's errors. ``secrets`` never appear in their messages."""

    def __init__(
        self, upstream: str, connection: Connection, clock: Clock, secrets: tuple[str, ...]
    ) -> None:
        self._upstream = upstream
        self._connection = connection
        self._clock = clock
        self._secrets = secrets

    async def passing_trouble(
        self, response: ClientResponse, *, is_pull: bool = False
    ) -> UpstreamError | None:
        """The error of a 429 or 5xx, None for every other status. Reads the body.

        ``is_pull``: what was asked counts against a pull limit, so that a 429 may mean only that.
        """
        is_throttled = response.status == HTTPStatus.TOO_MANY_REQUESTS
        if not is_throttled and not _is_server_error(response.status):
            return None
        reading = await self._read(response)
        message = self._message(response, reading)
        wait = parse_retry_after(response.headers.get("Retry-After"), self._clock.now())
        if is_throttled:
            is_limit = reading.problem is not None and reading.problem.code == _PULL_LIMIT
            kind = QuotaExhausted if is_pull and is_limit else UpstreamThrottled
            return kind(message, wait)
        return UpstreamFailed(message) if wait is None else UpstreamBusy(message, wait)

    async def refusal(self, answer: Answer) -> UpstreamError:
        """The error of any other status that is not wanted."""
        reading = await self._read(answer.response)
        message = self._message(answer.response, reading)
        if answer.status not in _REFUSALS:
            return UpstreamInvalid(message)
        return UpstreamDenied(message) if answer.is_direct else LinkRefused(message)

    def invalid(self, trouble: str) -> UpstreamInvalid:
        return UpstreamInvalid(f"{self._upstream}: {excerpt(trouble, self._secrets)}")

    def denied(self, what: str) -> UpstreamDenied:
        return UpstreamDenied(
            f"{self._upstream}: no access to {what}: it does not exist or is not for our login"
        )

    async def _read(self, response: ClientResponse) -> _Reading:
        try:
            content = await self._connection.read(response, _ERROR_LIMIT)
        except UpstreamError:
            return _Reading(None, "")
        problem = parse_problem(content)
        if problem is not None:
            return _Reading(problem, f"{problem.code}: {problem.message}")
        is_page = "html" in types.bare(response.headers.get("Content-Type", ""))
        return _Reading(None, "" if is_page else content.decode("utf-8", "replace"))

    def _message(self, response: ClientResponse, reading: _Reading) -> str:
        host = origin_of(response.url).authority
        said = excerpt(reading.text, self._secrets)
        answered = f"{self._upstream}: {host} answered {response.status}"
        return f"{answered}: {said}" if said else answered


def _is_server_error(status: int) -> bool:
    """501 and 505 are about what was asked, not about how the server does."""
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in _UNSUPPORTED
