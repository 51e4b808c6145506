"""What goes wrong with an upstream, in the port's terms. Foreign exceptions stop here.

UpstreamError            mirror.ports.upstream
├── UpstreamThrottled
│   └── QuotaExhausted   pulls are used up, everything else is still answered
├── UpstreamFailed
│   └── UpstreamBusy     the upstream said when to come back
├── UpstreamDenied
│   └── LinkRefused      a signed address did not work; a new one may
└── UpstreamInvalid
    └── PageRefused      a page of a list is larger than the upstream allows
"""

import os
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from mirror.ports.upstream import (
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamInvalid,
    UpstreamThrottled,
    UpstreamUnreachable,
)
from mirror.upstream.guard import AddressRefused

_LONGEST_EXCERPT = 200
_QUERY = re.compile(r"\?\S+")
_LIKE_A_SECRET = re.compile(r"[A-Za-z0-9+=_~-]{32,}")


class QuotaExhausted(UpstreamThrottled):
    """The pull limit is reached. HEAD, blobs and tokens go on."""


class UpstreamBusy(UpstreamFailed):
    """5xx with ``Retry-After``."""


def closed() -> UpstreamUnreachable:
    """What those hear who wait for something that is stopped."""
    return UpstreamUnreachable("the connection to the upstream was closed")


class LinkRefused(UpstreamDenied):
    """401 or 403 from a host that the registry sent us to."""


class PageRefused(UpstreamInvalid):
    """400 to a question for one page of a list."""


def excerpt(text: str, secrets: tuple[str, ...] = ()) -> str:
    """Hostile text fit for a message: one short printable line without queries or secrets.

    An upstream may send back what we sent to it, so what looks like a token goes too.
    """
    text = redacted(text, secrets)
    printable = "".join(character if character.isprintable() else " " for character in text)
    line = _LIKE_A_SECRET.sub("[...]", _QUERY.sub("", " ".join(printable.split())))
    return line if len(line) <= _LONGEST_EXCERPT else f"{line[: _LONGEST_EXCERPT - 3]}..."


def redacted(text: str, secrets: tuple[str, ...]) -> str:
    """The text without what it may repeat of ours."""
    for secret in secrets:
        text = text.replace(secret, "[redacted]")
    return text


@contextmanager
def translated(upstream: str, host: str) -> Iterator[None]:
    """Raises the port's errors for those of aiohttp, asyncio, ssl and the system."""
    try:
        yield
    except _FOREIGN as error:
        cause = _cause(error)
        kind, trouble = _explain(error, cause)
        detail = _detail(cause)
        message = f"{upstream}: {trouble.format(host=host)}{f': {detail}' if detail else ''}"
        # The text of many of them has the address with its signed query, which logs must not see.
        raise kind(message) from None


_FOREIGN = (aiohttp.ClientError, HttpProcessingError, OSError, ssl.CertificateError)

# The first entry that fits counts: many of these inherit from each other.
_TABLE: tuple[tuple[type[BaseException], type[UpstreamError], str], ...] = (
    (
        AddressRefused,
        UpstreamInvalid,
        "refused to connect to {host}, which is not at a public address",
    ),
    (
        aiohttp.ClientConnectorCertificateError,
        UpstreamUnreachable,
        "the TLS certificate of {host} is not trusted",
    ),
    (ssl.CertificateError, UpstreamUnreachable, "the TLS certificate of {host} is not trusted"),
    (aiohttp.ClientConnectorDNSError, UpstreamUnreachable, "the name {host} cannot be resolved"),
    (aiohttp.ConnectionTimeoutError, UpstreamUnreachable, "no connection to {host} in time"),
    (aiohttp.ClientSSLError, UpstreamUnreachable, "no TLS connection to {host}"),
    (ssl.SSLError, UpstreamUnreachable, "the TLS connection to {host} broke"),
    (aiohttp.ClientConnectorError, UpstreamUnreachable, "{host} does not accept connections"),
    (aiohttp.ClientPayloadError, UpstreamUnreachable, "the answer of {host} ended early"),
    (aiohttp.InvalidURL, UpstreamInvalid, "{host} is not a host"),
    (aiohttp.ClientResponseError, UpstreamInvalid, "the answer of {host} is not proper HTTP"),
    (HttpProcessingError, UpstreamInvalid, "the answer of {host} is not proper HTTP"),
    (TimeoutError, UpstreamUnreachable, "{host} does not answer in time"),
    (BaseException, UpstreamUnreachable, "the connection to {host} broke"),
)


def _cause(error: BaseException) -> BaseException:
    """What the system or the TLS library said, where aiohttp wraps it."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return error.certificate_error
    return error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error


def _explain(error: BaseException, cause: BaseException) -> tuple[type[UpstreamError], str]:
    if isinstance(cause, AddressRefused):
        error = cause
    return next((kind, text) for foreign, kind, text in _TABLE if isinstance(error, foreign))


def _detail(cause: BaseException) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return excerpt(cause.verify_message)
    if isinstance(cause, ssl.SSLError):
        return excerpt(cause.reason or "")
    if isinstance(cause, socket.gaierror):
        return excerpt(cause.strerror or "")
    if isinstance(cause, OSError) and cause.errno and not isinstance(cause, AddressRefused):
        return os.strerror(cause.errno)
    return ""
