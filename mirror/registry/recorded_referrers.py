"""What refers to a manifest, as far as it is recorded here: in a hosted repository that is all of
it at this moment, in a proxied one what was pulled.

Clients of registries that do not list referrers keep the list themselves, under a tag. What such a
list names is listed too; as of any index, what it names is in the repository while it is.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.manifest import Descriptor
from mirror.oci.media_type import is_index
from mirror.oci.page import Page
from mirror.oci.referrers import Referrer, describe_referrer, parse_referrers, referrers_tag
from mirror.ports.hosting import ReferrerStore
from mirror.ports.metadata import TagStore
from mirror.ports.repository import Repository
from mirror.registry.answer import Handling, ReferrersAnswer
from mirror.registry.held import HeldManifests
from mirror.registry.referrers_page import begin_page
from mirror.registry.statistics import Result

STEP = 500
"""Referrers that are asked of the metadata at once."""


class ReferrerFacts(ReferrerStore, TagStore, Protocol):
    """What is asked here."""


class RecordedReferrers:
    """Lists of referrers, in order of their digests."""

    def __init__(self, held: HeldManifests, facts: ReferrerFacts) -> None:
        self._held = held
        self._facts = facts

    async def list(
        self, repository: Repository, subject: Digest, artifact_type: str | None, page: Page
    ) -> ReferrersAnswer:
        """Those of one type, or all. Raises DigestInvalid for a page after what is no digest."""
        after = None if page.last is None else parse_digest(page.last)
        sheet = begin_page(artifact_type, page)
        goes_on = False
        if sheet.limit:
            async for referrer in self._all(repository, subject, after):
                goes_on = not sheet.takes(referrer)
                if goes_on:
                    break
        last = sheet.last if goes_on else None
        return ReferrersAnswer(repository, tuple(sheet.taken), Handling(Result.HOSTED), last)

    async def _all(
        self, repository: Repository, subject: Digest, after: Digest | None
    ) -> AsyncIterator[Referrer]:
        """Those after a digest, lazily."""
        listed = await self._listed_by_clients(repository, subject)
        while True:
            recorded = await self._facts.list_referrers(repository, subject, after, STEP)
            is_end = len(recorded) < STEP
            known = {descriptor.digest: descriptor for descriptor in recorded}
            until = None if is_end else recorded[-1].digest
            more = {d for d in listed if _is_between(d, after, until)}
            for digest in sorted(known.keys() | more, key=str):
                descriptor = known.get(digest)
                if descriptor is not None:
                    yield await self._describe(repository, descriptor)
                else:
                    yield listed[digest]
            if is_end:
                return
            after = until

    async def _describe(self, repository: Repository, descriptor: Descriptor) -> Referrer:
        """Also when the bytes are damaged: that there is a signature shall not be hidden."""
        manifest = await self._held.get(repository, descriptor.digest)
        return describe_referrer(descriptor, b"" if manifest is None else manifest.content)

    async def _listed_by_clients(
        self, repository: Repository, subject: Digest
    ) -> Mapping[Digest, Referrer]:
        record = await self._facts.get_tag(repository, referrers_tag(subject))
        if record is None or not is_index(record.descriptor.media_type):
            return {}
        index = await self._held.get(repository, record.descriptor.digest)
        listed = parse_referrers(index.content) if index is not None else None
        return {referrer.digest: referrer for referrer in listed or ()}


def _is_between(digest: Digest, after: Digest | None, until: Digest | None) -> bool:
    text = str(digest)
    return (after is None or text > str(after)) and (until is None or text <= str(until))
