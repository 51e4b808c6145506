"""Bearer tokens: the question, the answer, and how long it holds. Pure.

https://distribution.github.io/distribution/spec/auth/token/
"""

from dataclasses import dataclass, field
from urllib.parse import urlencode

import msgspec
from yarl import URL

from mirror.upstream.realm import TokenService

TOKEN_REPLY_LIMIT = 64 * 1024

_SHORTEST_LIFE = 60.0
_LONGEST_LIFE = 24 * 3600.0
_RENEWAL = 0.8


@dataclass(frozen=True, slots=True)
class TokenQuestion:
    """``scope`` is the text that is sent."""

    service: TokenService
    scope: str

    @property
    def url(self) -> URL:
        """The realm with whatever query it has, and ours after it."""
        parameters = [("scope", self.scope)]
        if self.service.service is not None:
            parameters.insert(0, ("service", self.service.service))
        realm = str(self.service.realm)
        joint = "&" if "?" in realm else "?"
        return URL(f"{realm}{joint}{urlencode(parameters)}", encoded=True)


@dataclass(frozen=True, slots=True)
class Token:
    """Times are those of the monotonic clock: how far off the other clock is does not matter."""

    value: str = field(repr=False)
    question: TokenQuestion
    renew_at: float
    expires_at: float

    @property
    def authorization(self) -> str:
        return f"Bearer {self.value}"


class _Reply(msgspec.Struct, frozen=True):
    token: str | None = None
    access_token: str | None = None
    expires_in: msgspec.Raw = msgspec.Raw(b"")


def parse_token(content: bytes, question: TokenQuestion, now: float) -> Token | None:
    """The token in an endpoint's reply, ``None`` if there is no usable one."""
    try:
        reply = msgspec.json.decode(content, type=_Reply)
    except (ValueError, RecursionError):
        return None
    value = reply.access_token or reply.token
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        return None
    life = _parse_life(reply.expires_in)
    return Token(value, question, now + life * _RENEWAL, now + life)


def _parse_life(expires_in: msgspec.Raw) -> float:
    """Seconds. Too short, absent or no number: what clients have always assumed."""
    try:
        seconds = msgspec.json.decode(expires_in, type=float)
    except ValueError:
        return _SHORTEST_LIFE
    return min(max(seconds, _SHORTEST_LIFE), _LONGEST_LIFE)
