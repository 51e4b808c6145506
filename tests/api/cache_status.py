"""Reading Cache-Status and Warning as strictly as their specifications are written."""

import re
from dataclasses import dataclass

TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*")
KEY = re.compile(r"[a-z*][a-z0-9_.*-]*")
INTEGER = re.compile(r"-?[0-9]{1,15}")
STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
WARNING = re.compile(r'299 - "((?:[\t !#-\[\]-~]|\\[\t -~])*)"')

FORWARDED = {"bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"}

Value = str | int | bool


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """What one cache did. https://www.rfc-editor.org/rfc/rfc9211.html"""

    cache: str
    parameters: dict[str, Value]

    @property
    def is_hit(self) -> bool:
        return self.parameters.get("hit") is True

    @property
    def forwarded(self) -> Value | None:
        return self.parameters.get("fwd")


def parse_cache_status(text: str) -> CacheStatus:
    """Of an answer that passed one cache. Raises ValueError for what the grammar does not allow."""
    match = TOKEN.match(text)
    if match is None:
        raise ValueError(text)
    parameters: dict[str, Value] = {}
    rest = text[match.end() :]
    while rest:
        if not rest.startswith(";"):
            raise ValueError(text)
        key = KEY.match(rest := rest[1:].lstrip(" "))
        if key is None:
            raise ValueError(text)
        parameters[key[0]], rest = _value(rest[key.end() :])
    status = CacheStatus(match[0], parameters)
    if status.is_hit == ("fwd" in parameters) or parameters.get("fwd", "miss") not in FORWARDED:
        raise ValueError(f"either a hit or forwarded for a reason: {text}")
    return status


def parse_warning(text: str) -> str:
    """What the user is told. https://www.rfc-editor.org/rfc/rfc7234#section-5.5"""
    match = WARNING.fullmatch(text)
    if match is None or len(text) > 4096:
        raise ValueError(text)
    return re.sub(r"\\(.)", r"\1", match[1])


def _value(rest: str) -> tuple[Value, str]:
    if not rest.startswith("="):
        return True, rest
    rest = rest[1:]
    if match := STRING.match(rest):
        return re.sub(r"\\(.)", r"\1", match[1]), rest[match.end() :]
    if match := INTEGER.match(rest):
        return int(match[0]), rest[match.end() :]
    if match := TOKEN.match(rest):
        return match[0], rest[match.end() :]
    raise ValueError(rest)
