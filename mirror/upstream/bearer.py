"""Logging in to a registry: learning what it demands, getting tokens, renewing them in time.

Which realm may be asked is decided in ``realm``; how one is asked, in ``token_endpoint``.
"""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from cachetools import LRUCache

from mirror.flight import SingleFlight
from mirror.oci.challenge import Challenge, Scope, parse_scope
from mirror.ports.clock import Clock
from mirror.upstream.errors import closed
from mirror.upstream.login import Login
from mirror.upstream.realm import BasicLogin, Demand, NoLogin, RealmPolicy, TokenService
from mirror.upstream.token import Token, TokenQuestion
from mirror.upstream.token_endpoint import TokenEndpoint

_MOST_TOKENS = 4096
_RENEWAL_PAUSE = 10.0

Ping = Callable[[], Coroutine[Any, Any, Sequence[Challenge]]]
"""Asks the registry what it demands; no challenges when it demands nothing."""


class Bearer:
    """The ``Authorization`` for requests to one registry, per scope.

    However many wait for the same token, it is asked for once, and goes on to be when they leave.
    """

    def __init__(
        self,
        policy: RealmPolicy,
        endpoint: TokenEndpoint,
        login: Login,
        ping: Ping,
        clock: Clock,
    ) -> None:
        self._policy = policy
        self._endpoint = endpoint
        self._login = login
        self._ping = ping
        self._clock = clock
        self._demand: Demand | None = None
        self._tokens: LRUCache[str, Token] = LRUCache(_MOST_TOKENS)
        self._pings: SingleFlight[None, Demand] = SingleFlight(closed)
        self._fetches: SingleFlight[str, Token] = SingleFlight(closed)

    async def authorization(self, scope: Scope) -> str | None:
        """What to send with a first request, without having been refused before.

        Raises UpstreamError when a token is needed and cannot be had.
        """
        demand = self._demand or await self._pings.run(None, self._learn)
        if not isinstance(demand, TokenService):
            return self._basic(demand, scope)
        return (await self._token(demand, scope)).authorization

    async def renew(
        self, scope: Scope, challenges: Sequence[Challenge], rejected: str | None
    ) -> str | None:
        """What to send after a 401; None when there is nothing better than what was ``rejected``.

        Raises as ``authorization`` does, and UpstreamInvalid when the registry names a realm that
        must not be asked.
        """
        demand = self._policy.demand(challenges)
        if not isinstance(demand, NoLogin):
            self._demand = demand
        # Some registries name the realm in the first challenge only.
        demand = self._demand or demand
        if isinstance(demand, TokenService):
            return await self._renew_token(demand, scope, challenges, rejected)
        authorization = self._basic(demand, scope)
        if authorization is not None and authorization == rejected:
            self._login.refuse_scope(str(scope))
            return None
        return authorization

    async def close(self) -> None:
        await self._pings.close()
        await self._fetches.close()

    async def _learn(self) -> Demand:
        self._demand = self._policy.demand(await self._ping())
        return self._demand

    def _basic(self, demand: Demand, scope: Scope) -> str | None:
        credential = self._login.credential(str(scope))
        return credential.basic if credential and isinstance(demand, BasicLogin) else None

    async def _token(self, service: TokenService, scope: Scope) -> Token:
        key = str(scope)
        token = self._tokens.get(key)
        question = TokenQuestion(service, token.question.scope if token else key)
        if token is None or not self._is_alive(token):
            return await self._fetches.run(key, lambda: self._fetch(key, question))
        if token.renew_at <= (now := self._clock.monotonic()):
            # Should this fail, the next try waits, and the old token is good meanwhile.
            self._tokens[key] = replace(token, renew_at=now + _RENEWAL_PAUSE)
            self._fetches.start(key, lambda: self._fetch(key, question))
        return token

    async def _renew_token(
        self,
        service: TokenService,
        scope: Scope,
        challenges: Sequence[Challenge],
        rejected: str | None,
    ) -> str | None:
        key = str(scope)
        question = TokenQuestion(service, _asked_scope(scope, challenges))
        token = self._tokens.get(key)
        if token is not None and token.authorization != rejected and self._is_alive(token):
            return token.authorization
        if token is not None and token.question == question and _is_valid_but_short(challenges):
            return None
        renewed = await self._fetches.run(key, lambda: self._fetch(key, question))
        return renewed.authorization

    def _is_alive(self, token: Token) -> bool:
        return self._clock.monotonic() < token.expires_at

    async def _fetch(self, key: str, question: TokenQuestion) -> Token:
        token = self._tokens[key] = await self._endpoint.fetch(question)
        return token


def _asked_scope(scope: Scope, challenges: Sequence[Challenge]) -> str:
    """The registry's own spelling of the scope where it asks for no more than to pull."""
    for challenge in challenges:
        text = challenge.get("scope") or ""
        asked = parse_scope(text)
        if asked is not None and asked.type == scope.type and asked.actions == scope.actions:
            return text
    return str(scope)


def _is_valid_but_short(challenges: Sequence[Challenge]) -> bool:
    """The token was understood and does not reach: another one like it will not either."""
    return any(challenge.get("error") == "insufficient_scope" for challenge in challenges)
