"""Following redirects: each hop is a new request built from scratch.

What goes to another host than the registry is the range, what we accept, and who we are.
https://www.rfc-editor.org/rfc/rfc9110#section-15.4
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from aiohttp import ClientResponse
from yarl import URL

from mirror.ports.upstream import UpstreamInvalid
from mirror.upstream.connection import Connection, HttpRequest
from mirror.upstream.errors import excerpt, redacted
from mirror.upstream.origin import Origin, origin_of, parse_remote_url

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_HOPS = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """Headers are here, the body is not yet. ``is_direct``: from the registry itself."""

    response: ClientResponse
    is_direct: bool

    @property
    def status(self) -> int:
        return self.response.status

    def header(self, name: str) -> str | None:
        return self.response.headers.get(name)

    def close(self) -> None:
        """Idempotent; keeps the connection if the body was read or is here already."""
        self.response.release()


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted from a registry, wherever it sends us for it.

    ``leaves``: whether to follow it to other hosts. ``is_pull``: it counts against a pull limit.
    """

    method: Literal["GET", "HEAD"]
    url: URL
    accept: str
    byte_range: str | None = None
    leaves: bool = True
    is_pull: bool = False


@dataclass(frozen=True, slots=True)
class Introduction:
    """Who we are. ``via`` is for the registry only."""

    user_agent: str
    via: str | None


class Redirects:
    """Sends a wish to a registry and follows where it leads.

    Our ``Authorization`` goes to the registry's own scheme, host and port, nowhere else.
    ``observe`` is shown the headers of every answer of the registry itself; ``secrets`` do not
    appear in errors, whatever a Location says.
    """

    def __init__(
        self,
        upstream: str,
        origin: Origin,
        connection: Connection,
        introduction: Introduction,
        observe: Callable[[Mapping[str, str]], None],
        secrets: tuple[str, ...] = (),
    ) -> None:
        self._upstream = upstream
        self._origin = origin
        self._connection = connection
        self._introduction = introduction
        self._observe = observe
        self._secrets = secrets

    async def send(self, wish: Wish, authorization: str | None) -> Answer:
        """Raises UpstreamInvalid for a redirect that must not be followed."""
        url = wish.url
        for _ in range(_MOST_HOPS + 1):
            is_direct = origin_of(url) == self._origin
            headers = self._headers(wish, authorization, is_direct=is_direct)
            response = await self._connection.send(HttpRequest(wish.method, url, headers))
            if is_direct:
                self._observe(response.headers)
            if response.status not in _REDIRECTS:
                return Answer(response, is_direct)
            location = response.headers.get("Location")
            following = next_hop(url, location)
            if isinstance(following, str):
                response.release()
                raise UpstreamInvalid(f"{self._upstream}: {redacted(following, self._secrets)}")
            if not wish.leaves and origin_of(following) != self._origin:
                return Answer(response, is_direct)
            response.release()
            url = following
        raise UpstreamInvalid(f"{self._upstream}: more than {_MOST_HOPS} redirects")

    def _headers(
        self, wish: Wish, authorization: str | None, *, is_direct: bool
    ) -> tuple[tuple[str, str], ...]:
        candidates = (
            ("Accept", wish.accept),
            ("Accept-Encoding", "identity"),
            ("User-Agent", self._introduction.user_agent),
            ("Range", wish.byte_range),
            ("Via", self._introduction.via if is_direct else None),
            ("Authorization", authorization if is_direct else None),
        )
        return tuple((name, value) for name, value in candidates if value is not None)


def next_hop(current: URL, location: str | None) -> URL | str:
    """Where to go next, or why not."""
    if location is None:
        return "a redirect without a Location"
    url = parse_remote_url(location, base=current)
    if url is None:
        return f"a redirect to {excerpt(location)!r}, which is not a plain http or https address"
    if current.scheme == "https" and url.scheme != "https":
        return f"a redirect from https to http, at {origin_of(url).authority}"
    return url
