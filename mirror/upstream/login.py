"""Our credential, and where it was refused: there we go on as anybody, for some minutes."""

from cachetools import TTLCache

from mirror.ports.clock import Clock
from mirror.upstream.credentials import Credential

_REFUSED_SECONDS = 300.0
_MOST_SCOPES = 1024


class Login:
    """A refused login is not tried again at once: accounts get locked for that."""

    def __init__(self, upstream: str, credential: Credential | None, clock: Clock) -> None:
        self._upstream = upstream
        self._credential = credential
        self._clock = clock
        self._refused_until = float("-inf")
        self._refused_scopes: TTLCache[str, None] = TTLCache(
            _MOST_SCOPES, _REFUSED_SECONDS, timer=clock.monotonic
        )

    def credential(self, scope: str) -> Credential | None:
        """What to log in with for this scope, if anything."""
        if self._is_refused or scope in self._refused_scopes:
            return None
        return self._credential

    def refuse(self) -> None:
        """The credential itself was rejected."""
        self._refused_until = self._clock.monotonic() + _REFUSED_SECONDS

    def refuse_scope(self, scope: str) -> None:
        """It does not help with this scope, whatever else it is good for."""
        self._refused_scopes[scope] = None

    @property
    def trouble(self) -> str | None:
        """For the operator."""
        if not self._is_refused:
            return None
        return (
            f"{self._upstream}: our login was refused, going on without; check"
            f" upstreams.{self._upstream}.credentials"
        )

    @property
    def _is_refused(self) -> bool:
        return self._clock.monotonic() < self._refused_until
