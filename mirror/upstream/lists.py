"""Lists that a registry sends page by page: of tags, and of referrers.

Of a link to the next page only the query counts. It is asked for where the first page was, so no
link leads to another host, path or scheme, whatever proxies stand before the registry.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Generic, TypeVar

from yarl import URL

from mirror.oci import media_type as types
from mirror.oci.challenge import pull_scope
from mirror.oci.digest import Digest
from mirror.oci.document import MANIFEST_LIMIT
from mirror.oci.page import parse_next_link
from mirror.oci.reference import RepositoryName, Tag
from mirror.oci.referrers import Referrer, parse_referrers
from mirror.oci.tag_list import MOST_TAGS, parse_tag_list
from mirror.upstream.connection import Connection
from mirror.upstream.errors import PageRefused
from mirror.upstream.redirect import Answer, Wish
from mirror.upstream.retry import Retrying
from mirror.upstream.verdict import Verdict

_MOST_PAGES = 100
_TAGS_LIMIT = 16 * 1024 * 1024
_REFERRERS_LIMIT = 16 * 1024 * 1024
_LONGEST_QUERY = 2048
_FIRST_PAGE = "n=1000"
_WITHOUT_SIZE = ""
_REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Sheet(Generic[T]):
    """One page: ``size`` in bytes, and the query of the next one if there is any."""

    entries: tuple[T, ...]
    size: int
    following: str | None


_Ask = Callable[[str, int], Awaitable[_Sheet[T] | None]]
"""The page of a query, of at most so many bytes; None when the registry has no such list."""


class Lists:
    """``base`` is the address of the registry up to and with ``/v2/``."""

    def __init__(
        self, base: str, registry: Retrying, connection: Connection, verdict: Verdict
    ) -> None:
        self._base = base
        self._registry = registry
        self._connection = connection
        self._verdict = verdict

    async def tags(self, name: RepositoryName) -> tuple[Tag, ...] | None:
        """None: no such repository."""

        async def ask(query: str, limit: int) -> _Sheet[Tag] | None:
            wish = Wish("GET", self._url(f"{name}/tags/list", query), "application/json")
            return await self._registry.run(
                wish, pull_scope(name), lambda answer: self._tags_on(answer, limit)
            )

        try:
            tags = await self._follow(ask, _FIRST_PAGE, _TAGS_LIMIT)
        except PageRefused:
            tags = await self._follow(ask, _WITHOUT_SIZE, _TAGS_LIMIT)
        if tags is not None and len(tags) > MOST_TAGS:
            raise self._verdict.invalid(f"{name} has more than {MOST_TAGS} tags")
        return tags

    async def referrers(self, name: RepositoryName, digest: Digest) -> tuple[Referrer, ...] | None:
        """None: the registry lists no referrers."""

        async def ask(query: str, limit: int) -> _Sheet[Referrer] | None:
            url = self._url(f"{name}/referrers/{digest}", query)
            # Registries that do not know the question send us to web pages elsewhere.
            wish = Wish("GET", url, types.OCI_INDEX, leaves=False)
            return await self._registry.run(
                wish, pull_scope(name), lambda answer: self._referrers_on(answer, limit)
            )

        return await self._follow(ask, "", _REFERRERS_LIMIT)

    async def _follow(self, ask: _Ask[T], first: str, limit: int) -> tuple[T, ...] | None:
        """All pages, ``limit`` bytes in all. One that comes again is the end of them."""
        entries: list[T] = []
        asked: set[str] = set()
        query: str | None = first
        while query is not None and query not in asked:
            if len(asked) >= _MOST_PAGES:
                raise self._verdict.invalid(f"a list of more than {_MOST_PAGES} pages")
            sheet = await ask(query, limit)
            if sheet is None:
                if asked:
                    raise self._verdict.invalid("a list ends with a page that is not there")
                return None
            entries += sheet.entries
            limit -= sheet.size
            asked.add(query)
            query = sheet.following
        return tuple(entries)

    async def _tags_on(self, answer: Answer, limit: int) -> _Sheet[Tag] | None:
        if answer.status == HTTPStatus.NOT_FOUND:
            answer.close()
            return None
        if answer.status == HTTPStatus.BAD_REQUEST:
            raise PageRefused(str(await self._verdict.refusal(answer)))
        if answer.status != HTTPStatus.OK:
            raise await self._verdict.refusal(answer)
        content = await self._read(answer, limit)
        tags = parse_tag_list(content)
        if tags is None:
            raise self._verdict.invalid("the answer is no list of tags")
        return _Sheet(tags, len(content), self._following(answer))

    async def _referrers_on(self, answer: Answer, limit: int) -> _Sheet[Referrer] | None:
        if answer.status in _REFUSALS:
            raise await self._verdict.refusal(answer)
        media_type = types.bare(answer.header("Content-Type") or "")
        if answer.status != HTTPStatus.OK or "json" not in media_type:
            answer.close()
            return None
        content = await self._read(answer, min(limit, MANIFEST_LIMIT))
        referrers = parse_referrers(content)
        if referrers is not None:
            return _Sheet(referrers, len(content), self._following(answer))
        if media_type == types.OCI_INDEX:
            raise self._verdict.invalid("the list of referrers cannot be read")
        return None

    async def _read(self, answer: Answer, limit: int) -> bytes:
        content = await self._connection.read(answer.response, limit)
        answer.close()
        return content

    def _following(self, answer: Answer) -> str | None:
        links = map(parse_next_link, answer.response.headers.getall("Link", ()))
        target = next((link for link in links if link is not None), None)
        if target is None:
            return None
        query = target.partition("#")[0].partition("?")[2]
        if not query or len(query) > _LONGEST_QUERY or not _is_plain(query):
            raise self._verdict.invalid("the link to the next page of a list leads nowhere")
        return query

    def _url(self, path: str, query: str) -> URL:
        return URL(f"{self._base}{path}{'?' if query else ''}{query}", encoded=True)


def _is_plain(query: str) -> bool:
    return query.isascii() and query.isprintable() and " " not in query
