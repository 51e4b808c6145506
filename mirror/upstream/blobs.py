"""Reading what a registry, or the place it sends us to, answers about blobs."""

import re
from dataclasses import dataclass
from http import HTTPStatus

from mirror.oci.byte_range import parse_content_range
from mirror.upstream.connection import Connection
from mirror.upstream.download import Download, Span, cut, plan_download
from mirror.upstream.manifests import Unclear, content_length, is_encoded
from mirror.upstream.origin import origin_of
from mirror.upstream.redirect import Answer
from mirror.upstream.tally import Tally
from mirror.upstream.verdict import Verdict

_WITH_BYTES = (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT)
_EMPTY = re.compile(r"bytes\s+\*/0+", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Opened:
    """An answer that is still open, and the bytes in it; no download when there is no blob."""

    answer: Answer
    download: Download | None


class BlobReader:
    """Makes values of answers under ``/blobs/``. The digest is for others to check.

    A Content-Encoding is no business of a blob's: its bytes are passed on as they come.
    """

    def __init__(self, connection: Connection, verdict: Verdict, tally: Tally) -> None:
        self._connection = connection
        self._verdict = verdict
        self._tally = tally

    async def described(self, answer: Answer) -> int | Unclear | None:
        """The size that a HEAD tells; None when it says that there is no blob."""
        answer.close()
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        size = content_length(answer) if answer.status == HTTPStatus.OK else None
        return Unclear() if size is None or is_encoded(answer.header("Content-Encoding")) else size

    async def measured(self, answer: Answer) -> int | None:
        """The size that a GET of the first byte tells; None when there is no blob."""
        size = _size(answer)
        if size is None and answer.status != HTTPStatus.NOT_FOUND:
            raise await self._verdict.refusal(answer)
        answer.close()
        return size

    async def opened(self, answer: Answer, span: Span) -> Opened:
        """The download of a span. Raises UpstreamInvalid for an answer that cannot hold it."""
        if answer.status == HTTPStatus.NOT_FOUND:
            answer.close()
            return Opened(answer, None)
        if answer.status not in _WITH_BYTES:
            raise await self._verdict.refusal(answer)
        plan = plan_download(
            answer.status, answer.header("Content-Range"), content_length(answer), span
        )
        host = origin_of(answer.response.url).authority
        if isinstance(plan, str):
            raise self._verdict.invalid(f"{host} {plan}")
        body = cut(self._connection.stream(answer.response), plan, host)
        return Opened(answer, Download(plan.size, span.start, body, self._tally))


def _size(answer: Answer) -> int | None:
    content_range = answer.header("Content-Range") or ""
    if answer.status == HTTPStatus.PARTIAL_CONTENT:
        parsed = parse_content_range(content_range)
        return parsed[1] if parsed else None
    is_unsatisfiable = answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    if is_unsatisfiable and _EMPTY.fullmatch(content_range):
        return 0
    return content_length(answer) if answer.status == HTTPStatus.OK else None
