"""Requests to a registry with whatever it wants to see first."""

from collections.abc import Sequence
from http import HTTPStatus

from yarl import URL

from mirror.oci.challenge import Challenge, Scope, parse_challenges
from mirror.upstream.bearer import Bearer
from mirror.upstream.redirect import Answer, Redirects, Wish
from mirror.upstream.verdict import Verdict


class Ping:
    """Asks a registry, before anything else, what it demands.

    https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#determining-support
    """

    def __init__(self, url: URL, redirects: Redirects, verdict: Verdict) -> None:
        self._wish = Wish("GET", url, "application/json")
        self._redirects = redirects
        self._verdict = verdict

    async def __call__(self) -> Sequence[Challenge]:
        """No challenges when the registry lets everybody in, as far as this tells."""
        answer = await self._redirects.send(self._wish, None)
        try:
            trouble = await self._verdict.passing_trouble(answer.response)
        finally:
            answer.close()
        if trouble is not None:
            raise trouble
        return challenges_of(answer) if _wants_more(answer) else ()


class Authorised:
    """Sends the authorization first, and after a 401 once another one."""

    def __init__(self, redirects: Redirects, bearer: Bearer, verdict: Verdict) -> None:
        self._redirects = redirects
        self._bearer = bearer
        self._verdict = verdict

    async def send(self, wish: Wish, scope: Scope) -> Answer:
        """Raises UpstreamDenied when the registry goes on wanting another authorization.

        A 401 of another host is an answer like any other: we have nothing to show there.
        """
        authorization = await self._bearer.authorization(scope)
        answer = await self._redirects.send(wish, authorization)
        if not _wants_more(answer):
            return answer
        answer.close()
        renewed = await self._bearer.renew(scope, challenges_of(answer), authorization)
        if renewed is None:
            raise self._verdict.denied(scope.name)
        answer = await self._redirects.send(wish, renewed)
        if _wants_more(answer):
            answer.close()
            raise self._verdict.denied(scope.name)
        return answer


def challenges_of(answer: Answer) -> Sequence[Challenge]:
    return parse_challenges(answer.response.headers.getall("WWW-Authenticate", ()))


def _wants_more(answer: Answer) -> bool:
    return answer.status == HTTPStatus.UNAUTHORIZED and answer.is_direct
