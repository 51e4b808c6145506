"""Whom a registry may name as the place to get tokens. Pure.

A realm is where our credentials go, and the registry's answer names it: believing it is how
credentials are stolen (CVE-2026-33540, CVE-2020-15157). So only hosts that the operator named.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from yarl import URL

from mirror.oci.challenge import Challenge
from mirror.ports.upstream import UpstreamInvalid
from mirror.upstream.errors import excerpt, redacted
from mirror.upstream.origin import Origin, origin_of, parse_remote_url

_HOST_AND_PORT = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]/\\@\s]+)(?::(?P<port>[0-9]{1,5}))?"
)
_BASIC = "basic"
_BEARER = "bearer"


@dataclass(frozen=True, slots=True)
class TokenService:
    """Where tokens come from. ``service`` is whom they are for, ``None`` if it was not said."""

    realm: URL
    service: str | None


@dataclass(frozen=True, slots=True)
class BasicLogin:
    """The registry takes user name and password with every request."""


@dataclass(frozen=True, slots=True)
class NoLogin:
    """The registry asks for nothing, or for nothing that we have."""


Demand = TokenService | BasicLogin | NoLogin


class RealmPolicy:
    """The hosts that may receive credentials of one upstream: its own, and its ``realms``.

    ``secrets`` do not appear in errors, whatever the registry says.
    """

    def __init__(
        self,
        upstream: str,
        origin: Origin,
        realms: Iterable[str],
        secrets: tuple[str, ...] = (),
    ) -> None:
        self._upstream = upstream
        self._origin = origin
        self._secrets = secrets
        self._realms = tuple(_parse_realm(realm) for realm in realms)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host that the operator named, without its port."""
        return (self._origin.host, *(host for host, _ in self._realms))

    def allows(self, realm: URL) -> bool:
        """Exact host and port, over https unless the registry itself is asked over http."""
        origin = origin_of(realm)
        if not self._is_private_enough(origin):
            return False
        own = (self._origin.host, self._origin.port)
        return (origin.host, origin.port) == own or any(
            origin.host == host and origin.port == (port or origin.default_port)
            for host, port in self._realms
        )

    def demand(self, challenges: Iterable[Challenge]) -> Demand:
        """What to do about a 401.

        Raises UpstreamInvalid when it names a realm that may not be asked, with or without
        credentials: an upstream must not choose whom we talk to.
        """
        refused: str | None = None
        wants_basic = False
        for challenge in challenges:
            wants_basic = wants_basic or challenge.scheme == _BASIC
            text = challenge.get("realm") if challenge.scheme == _BEARER else None
            if text is None:
                continue
            realm = parse_remote_url(text)
            if realm is not None and self.allows(realm):
                return TokenService(realm, challenge.get("service") or None)
            refused = refused or self._explain(text, realm)
        if wants_basic:
            return BasicLogin()
        if refused is not None:
            raise UpstreamInvalid(redacted(refused, self._secrets))
        return NoLogin()

    def _explain(self, text: str, realm: URL | None) -> str:
        if realm is None:
            where = repr(excerpt(text))
            return f"{self._upstream}: wants a login at {where}, which is not a plain address"
        origin = origin_of(realm)
        if not self._is_private_enough(origin):
            return (
                f"{self._upstream}: wants a login over plain http, at {excerpt(origin.authority)}"
            )
        return (
            f"{self._upstream}: wants a login at {excerpt(origin.authority)}, which is not among"
            f" its realms; if it is to be trusted with credentials, set"
            f" upstreams.{self._upstream}.realms: [{excerpt(origin.authority)}]"
        )

    def _is_private_enough(self, origin: Origin) -> bool:
        return self._origin.scheme == "http" or origin.scheme == "https" or origin.is_loopback


def _parse_realm(text: str) -> tuple[str, int | None]:
    match = _HOST_AND_PORT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a host or host:port")
    port = match["port"]
    return match["host"].strip("[]").lower(), int(port) if port else None
