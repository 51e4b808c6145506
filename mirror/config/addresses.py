"""Hosts, URLs, networks and names of upstreams as people write them; nothing is resolved.

Every `parse_…` raises `ValueError` whose text says what is wrong and what would be right.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from mirror.config.problems import shown

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_LONGEST_HOST = 253
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^\[\]:]*)(?::(?P<port>.*))?", re.DOTALL)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_HIGHEST_PORT = 65_535
# https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*", re.ASCII)
_URL_PATH = re.compile(r"(?:/[A-Za-z0-9._~%+-]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where the server listens. An IPv6 host is held without brackets; port 0 means any free."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(text: str) -> ListenAddress:
    """`127.0.0.1:5000`, `[::1]:5000`, `name:5000`."""
    host, port = _split(text.lower())
    number = text if port is None else port
    if host in ("", "*", number) and (not number or _PORT.fullmatch(number)):
        number = number or "5000"
        raise ValueError(
            f"{shown(text)} does not say on which address: write 127.0.0.1:{number} for this"
            f" machine only, 0.0.0.0:{number} for every network"
        )
    if port is None:
        raise ValueError(f"{shown(text)} has no port: add one, such as :5000")
    return ListenAddress(_checked_host(host).strip("[]"), _checked_port(port, lowest=0))


def parse_host(text: str) -> str:
    """`host` or `host:port`, in lower case; an IPv6 address in brackets."""
    if "/" in text:
        raise ValueError(f"{_shown_url(text)} is not a host: write it without https:// and path")
    host, port = _split(text.lower())
    checked = _checked_host(host)
    return checked if port is None else f"{checked}:{_checked_port(port, lowest=1)}"


def parse_upstream_name(text: str) -> str:
    """What an `ns` parameter or a first path component can be: a host, or a component."""
    if not is_upstream_name(text):
        raise ValueError(
            f"{shown(text)} cannot be an upstream's name: it must be a host such as ghcr.io or"
            " registry.example.com:5000, in lower case and without a slash"
        )
    return text


def is_upstream_name(text: str) -> bool:
    if _COMPONENT.fullmatch(text):
        return True
    try:
        return parse_host(text) == text
    except ValueError:
        return False


def parse_upstream_url(text: str) -> str:
    """An http or https URL without a trailing slash; a path is allowed, `/v2` is not part of it."""
    url = _parse_url(text)
    if url.endswith("/v2"):
        raise ValueError(f"{shown(text)} must be written without /v2, which is added")
    return url


def parse_public_url(text: str) -> str:
    """An http or https URL without a path: clients look for `/v2/` at the root of the host."""
    url = _parse_url(text)
    if urlsplit(url).path:
        raise ValueError(f"{shown(text)} must have no path: clients ask for /v2/ of the host")
    return url


def is_plain_http_over_network(url: str) -> bool:
    """Whether what is sent to this (already parsed) URL can be read on the way."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not _is_loopback(parts.hostname or "")


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """`10.0.0.0/8`, `::1`: a network, or one address."""
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        enclosing = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"{shown(text)} is not a network: write for example 10.0.0.0/8, 192.168.1.7 or ::1"
        ) from None
    raise ValueError(f"{shown(text)} is an address within a network: write {enclosing}")


def _parse_url(text: str) -> str:
    parts = _split_url(text)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"{_shown_url(text)} must begin with https:// or http:// and a host")
    if "@" in parts.netloc:
        raise ValueError(
            "must not contain a user name or a password: an upstream has credentials for them"
        )
    if "?" in text or "#" in text:
        raise ValueError(f"{_shown_url(text)} must have nothing after ? or #")
    path = parts.path.removesuffix("/")
    if not _URL_PATH.fullmatch(path):
        raise ValueError(f"{_shown_url(text)} has a path that is not one")
    return f"{parts.scheme}://{parse_host(parts.netloc)}{path}"


def _split_url(text: str) -> SplitResult:
    # urlsplit drops tabs and line ends in silence, and browsers read a backslash as a slash.
    if "\\" in text or any(letter.isspace() for letter in text):
        raise ValueError(f"{_shown_url(text)} contains a space or a backslash")
    try:
        return urlsplit(text)
    except ValueError:
        raise ValueError(f"{_shown_url(text)} is not a URL: write https://host") from None


def _shown_url(text: str) -> str:
    return "a URL with something before an @" if "@" in text else shown(text)


def _split(text: str) -> tuple[str, str | None]:
    match = _AUTHORITY.fullmatch(text)
    if match is None or (match["host"] == "" and text.startswith("::")):
        raise ValueError(f"{_shown_url(text)} is not host:port")
    if match["port"] is not None and ":" in match["port"]:
        raise ValueError(f"{shown(text)} needs brackets round its IPv6 address: [::1]:5000")
    return match["host"], match["port"]


def _checked_host(host: str) -> str:
    if host.startswith("[") and ":" in host and _is_address(host.strip("[]")):
        return host
    if host.replace(".", "").isdecimal() and not _is_address(host):
        raise ValueError(f"{shown(host)} is not an IP address")
    if not host.isascii():
        raise ValueError(f"{shown(host)} must be written in its ASCII form, xn--…")
    if len(host) > _LONGEST_HOST or not _HOST_NAME.fullmatch(host):
        raise ValueError(f"{_shown_url(host)} is not a host name or an IP address")
    return host


def _checked_port(port: str, *, lowest: int) -> int:
    if not _PORT.fullmatch(port) or not lowest <= int(port) <= _HIGHEST_PORT:
        raise ValueError(f"{shown(port)} is not a port: write a number up to {_HIGHEST_PORT}")
    return int(port)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)
