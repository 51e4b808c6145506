"""One page of what refers to a manifest: no longer than clients take, whoever listed it. Pure."""

from dataclasses import dataclass, field

from mirror.oci.digest import Digest
from mirror.oci.page import Page
from mirror.oci.referrers import Referrer

MOST = 1000
"""On a page."""

ROOM = 2 * 1024 * 1024
"""Bytes of descriptors on a page of more than one: clients take no index above 4 MiB."""

MOST_SCANNED = 5000
"""Referrers of whatever type that one request looks at; a page may be short for that."""


@dataclass(slots=True)
class ReferrersPage:
    """A page that is being filled. ``last`` is the last one that was looked at."""

    artifact_type: str | None
    limit: int
    taken: list[Referrer] = field(default_factory=list)
    last: Digest | None = None
    _size: int = 0
    _scanned: int = 0

    def takes(self, referrer: Referrer) -> bool:
        """False when it belongs on the next page."""
        is_wanted = self.artifact_type in (None, referrer.artifact_type)
        if self._scanned == MOST_SCANNED or (is_wanted and self._is_full(referrer)):
            return False
        self._scanned += 1
        self.last = referrer.digest
        if is_wanted:
            self.taken.append(referrer)
            self._size += len(referrer.content)
        return True

    def _is_full(self, referrer: Referrer) -> bool:
        if len(self.taken) == self.limit:
            return True
        return bool(self.taken) and self._size + len(referrer.content) > ROOM


def begin_page(artifact_type: str | None, page: Page) -> ReferrersPage:
    return ReferrersPage(artifact_type, MOST if page.limit is None else min(page.limit, MOST))
