"""Scheme, host and port: what decides who may see a credential. Pure."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal

from yarl import URL

from mirror.upstream.address import AddressKind, kind_of

_AUTHORITY = re.compile(
    r"(?i:https?)://(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
    r"(?::[0-9]{1,5})?(?=[/?#]|\Z)"
)
_NUMERIC_ENDING = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """``host`` in lower case, an IPv6 address without brackets."""

    scheme: Literal["http", "https"]
    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        return self.host == "localhost" or kind_of(self.host) is AddressKind.LOOPBACK

    @property
    def default_port(self) -> int:
        return _DEFAULT_PORTS[self.scheme]

    @property
    def authority(self) -> str:
        """As it is written in a URL, the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == self.default_port else f"{host}:{self.port}"


def parse_remote_url(text: str, base: URL | None = None) -> URL | None:
    """An http or https URL that every reader takes for the same; None for any other.

    Relative ones are resolved against ``base``. Not a byte of path or query is changed, since
    they may be signed. Refused are user names, backslashes, blanks, control characters, host
    names that are not plain ASCII, addresses in odd notations, and impossible ports.
    """
    if not text or not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        return None
    if base is not None and text.startswith("//"):
        text = f"{base.scheme}:{text}"
    is_relative = base is not None and _SCHEME.match(text) is None
    if not is_relative and _AUTHORITY.match(text) is None:
        return None
    try:
        url = URL(text, encoded=True)
        if base is not None and is_relative:
            url = base.join(url)
        is_possible = bool(url.port)  # yarl reads ports no earlier
    except ValueError:
        return None
    if not is_possible or _is_odd_number(url.raw_host or ""):
        return None
    return url.with_fragment(None) if url.raw_fragment else url


def origin_of(url: URL) -> Origin:
    """``url`` is one that ``parse_remote_url`` returned."""
    scheme: Literal["http", "https"] = "https" if url.scheme.lower() == "https" else "http"
    host = (url.raw_host or "").lower()
    return Origin(scheme, host, url.port or _DEFAULT_PORTS[scheme])


def _is_odd_number(host: str) -> bool:
    """``127.1``, ``0x7f.0.0.1``: an address to the system's resolver, a name to others."""
    if ":" in host or _NUMERIC_ENDING.fullmatch(host) is None:
        return False
    try:
        return str(IPv4Address(host)) != host
    except ValueError:
        return True
