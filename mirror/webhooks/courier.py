"""The Courier port over HTTP: one message is one POST.

Redirects are not followed, no proxy is taken from the environment, nothing of an answer is read but
its head. What is logged or raised holds neither addresses nor secrets: both may be in a URL.
"""

import asyncio
import errno
import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
from aiohttp import ClientSession, ClientTimeout
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from mirror.ports.clock import Clock
from mirror.ports.events import DeliveryFailed, Event
from mirror.webhooks.envelope import MEDIA_TYPE, render
from mirror.webhooks.resolver import Lookup, Resolver, system_lookup
from mirror.webhooks.signature import signed

_LONGEST_HEADER = 16 * 1024


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Where messages go. ``timeout``: seconds for all of one. ``public_url``: how clients reach
    this server, without a slash at its end. ``tls``: whom to trust, ``None`` for the system's.
    """

    url: str = field(repr=False)
    secret: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    timeout: float
    public_url: str | None = None
    tls: ssl.SSLContext | None = None


class HttpCourier:
    """Nothing is opened before the first message. ``lookup`` resolves names in a thread."""

    def __init__(
        self, settings: WebhookSettings, clock: Clock, lookup: Lookup = system_lookup
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._resolver = Resolver(lookup)
        self._session: ClientSession | None = None
        self._is_closed = False

    async def deliver(self, events: Sequence[Event]) -> None:
        body = render(events, self._settings.public_url)
        headers = {
            **self._settings.headers,
            "Content-Type": MEDIA_TYPE,
            "User-Agent": "mirror",
            **signed(body, self._settings.secret, self._clock.now()),
        }
        try:
            async with asyncio.timeout(self._settings.timeout):
                await self._post(body, headers)
        except TimeoutError:
            raise DeliveryFailed(f"no answer within {self._settings.timeout:g} s") from None
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            raise DeliveryFailed(_explained(error)) from None

    async def close(self) -> None:
        self._is_closed = True
        if self._session is not None:
            await self._session.close()
        await self._resolver.close()

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> None:
        response = await self._open_session().post(
            URL(self._settings.url, encoded=True),
            data=body,
            headers=headers,
            allow_redirects=False,
        )
        # Closed unread: an endless answer costs nothing.
        response.close()
        self._judge(response)

    def _judge(self, response: aiohttp.ClientResponse) -> None:
        """Raises DeliveryFailed."""
        status = response.status
        if 200 <= status < 300:  # noqa: PLR2004 - as the RFC draws the line
            return
        if 300 <= status < 400:  # noqa: PLR2004 - as the RFC draws the line
            raise DeliveryFailed(f"it answered {status}, and redirects are not followed")
        wait = _retry_after(response.headers.get("Retry-After", ""), self._clock.now())
        raise DeliveryFailed(f"it answered {status}", retry_after=wait)

    def _open_session(self) -> ClientSession:
        if self._is_closed:
            raise DeliveryFailed("this server is stopping")
        if self._session is None:
            self._session = ClientSession(
                connector=aiohttp.TCPConnector(
                    # A message over a connection that the other side is about to close is lost.
                    force_close=True,
                    resolver=self._resolver,
                    use_dns_cache=False,
                    ssl=self._settings.tls or True,
                ),
                timeout=ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                max_line_size=_LONGEST_HEADER,
                max_field_size=_LONGEST_HEADER,
            )
        return self._session


def _explained(error: Exception) -> str:
    """In words of ours: those of the library hold addresses."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "its name cannot be resolved"
        case aiohttp.ClientConnectorCertificateError() | ssl.SSLCertVerificationError():
            return "its certificate is not to be trusted"
        case aiohttp.ClientSSLError():
            return "no TLS connection could be made"
        case aiohttp.ClientConnectorError():
            return f"no connection ({os.strerror(error.os_error.errno or errno.ECONNREFUSED)})"
        case aiohttp.ClientResponseError() | HttpProcessingError():
            return "it answered something that is not HTTP"
    return "the connection broke"


def _retry_after(text: str, now: datetime) -> float | None:
    """In seconds. https://www.rfc-editor.org/rfc/rfc9110#field.retry-after"""
    if text.isascii() and text.isdecimal() and len(text) < 10:  # noqa: PLR2004 - thirty years
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    aware = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    return max((aware - now).total_seconds(), 0.0)
