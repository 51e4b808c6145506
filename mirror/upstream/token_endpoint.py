"""Asking a token service for a token. Which one may be asked, and when, is decided elsewhere."""

from http import HTTPStatus

from mirror.ports.clock import Clock
from mirror.upstream.connection import Connection, HttpRequest
from mirror.upstream.credentials import Credential
from mirror.upstream.login import Login
from mirror.upstream.tally import Tally
from mirror.upstream.token import TOKEN_REPLY_LIMIT, Token, TokenQuestion, parse_token
from mirror.upstream.verdict import Verdict

_REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class TokenEndpoint:
    """Redirects are not followed: they would take the credential along."""

    def __init__(
        self,
        connection: Connection,
        verdict: Verdict,
        login: Login,
        clock: Clock,
        tally: Tally,
        user_agent: str,
    ) -> None:
        self._connection = connection
        self._verdict = verdict
        self._login = login
        self._clock = clock
        self._tally = tally
        self._user_agent = user_agent

    async def fetch(self, question: TokenQuestion) -> Token:
        """Where our login is refused, as anybody: public repositories need none.

        Raises UpstreamDenied when that is refused too.
        """
        credential = self._login.credential(question.scope)
        if credential is not None:
            token = await self._ask(question, credential)
            if token is not None:
                return token
        token = await self._ask(question, None)
        if token is None:
            raise self._verdict.denied(question.scope)
        return token

    async def _ask(self, question: TokenQuestion, credential: Credential | None) -> Token | None:
        """None when refused with 401 or 403."""
        self._tally.tokens += 1
        response = await self._connection.send(self._request(question, credential))
        try:
            if response.status in _REFUSALS:
                if credential is not None:
                    self._note_refusal(response.status, question.scope)
                return None
            if (trouble := await self._verdict.passing_trouble(response)) is not None:
                raise trouble
            if response.status != HTTPStatus.OK:
                raise self._verdict.invalid(f"the token service answered {response.status}")
            content = await self._connection.read(response, TOKEN_REPLY_LIMIT)
        finally:
            response.release()
        token = parse_token(content, question, self._clock.monotonic())
        if token is None:
            raise self._verdict.invalid("the answer of the token service holds no token")
        return token

    def _note_refusal(self, status: int, scope: str) -> None:
        """403 is also how some registries say that this one repository is not there."""
        if status == HTTPStatus.UNAUTHORIZED:
            self._login.refuse()
        else:
            self._login.refuse_scope(scope)

    def _request(self, question: TokenQuestion, credential: Credential | None) -> HttpRequest:
        headers = [
            ("Accept", "application/json"),
            ("Accept-Encoding", "identity"),
            ("User-Agent", self._user_agent),
        ]
        if credential is not None:
            headers.append(("Authorization", credential.basic))
        return HttpRequest("GET", question.url, tuple(headers))
