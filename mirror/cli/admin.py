"""The client of the admin API: one request, one answer, and a line to read when there is none.

Nothing is taken from the environment here: a proxy would hide from the mirror who asks.
"""

import http.client
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from mirror.api.documents import Problems
from mirror.cli.failure import Failure, Refused

PATIENCE = 10.0
"""Seconds to wait for a connection, and for each piece of an answer."""

LARGEST_ANSWER = 256 * 1024 * 1024

HEADERS = {"Accept": "application/json", "User-Agent": "mirror-cli"}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a mirror listens. ``path`` has no slash at its end; it is empty but behind a proxy."""

    url: str
    is_secure: bool
    host: str
    port: int | None
    path: str


def parse_origin(url: str) -> Origin:
    """Raises Failure."""
    advice = "write for example http://127.0.0.1:5000"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Failure(f"--url {url} is not a URL ({error}): {advice}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable():
        raise Failure(f"--url {url} is not the URL of a mirror: {advice}")
    if parts.username is not None or parts.query or parts.fragment:
        raise Failure(f"--url takes no login, query or fragment: {advice}")
    path = parts.path.rstrip("/")
    shown = f"{parts.scheme}://{parts.netloc}{path}"
    return Origin(shown, parts.scheme == "https", parts.hostname, port, path)


def image_path(name: str) -> str:
    """The path of what is stored under a name. Raises Failure for what cannot be one."""
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise Failure(f"{name!r} is not the name of an image: write for example nginx:latest")
    return f"/api/v1/images/{quote(name, safe='/:@')}"


def ask(
    origin: Origin,
    method: str,
    path: str,
    query: Mapping[str, str] | None = None,
    patience: float = PATIENCE,
) -> bytes:
    """The body of a good answer. Raises Refused for another, Failure where there is none."""
    target = f"{origin.path}{path}?{urlencode(query)}" if query else f"{origin.path}{path}"
    try:
        with closing(_connect(origin, patience)) as connection:
            connection.request(method, target, headers=HEADERS)
            with connection.getresponse() as response:
                body = response.read(LARGEST_ANSWER)
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise Failure(
            f"no mirror answers at {origin.url} ({_reason(error)}): start one with"
            ' "mirror serve", or name another with --url or MIRROR_URL'
        ) from error
    if response.status != http.client.OK:
        raise _refusal(origin, response, body)
    return body


def read(origin: Origin, body: bytes, kind: type[T]) -> T:
    """Raises Failure when the answer is not what a mirror says."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise Failure(
            f"what answers at {origin.url} is no mirror, or one of another version ({error})"
        ) from error


def _connect(origin: Origin, patience: float) -> http.client.HTTPConnection:
    kind = http.client.HTTPSConnection if origin.is_secure else http.client.HTTPConnection
    return kind(origin.host, origin.port, timeout=patience)


def _refusal(origin: Origin, response: http.client.HTTPResponse, body: bytes) -> Failure:
    try:
        message = msgspec.json.decode(body, type=Problems).errors[0].message
    except (msgspec.DecodeError, IndexError):
        return Failure(
            f"what answers at {origin.url} is no mirror: it says"
            f" {response.status} {response.reason}"
        )
    return Refused(f"{origin.url} says: {message}", response.status)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
