"""Hosted repositories as the memory adapter keeps them: the reference for ``mirror.ports.hosting``.

Every function is one transaction, because nothing in it waits.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from mirror.metadata.listing import place_in_text
from mirror.metadata.memory_facts import Facts
from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor
from mirror.ports.hosting import MOST_NAMED, DeadBlob, LinkCursor, Push, PushOutcome, Removal
from mirror.ports.metadata import BlobRecord, TagRecord
from mirror.ports.repository import Repository

_NOT_THERE = Removal(found=False, needed_by=())


def push_manifest(facts: Facts, push: Push) -> PushOutcome:
    missing = {blob.digest: blob for blob in _missing(facts, push)}
    immovable = [
        tag
        for tag in push.tags
        if tag in push.immutable
        and (record := facts.tags.get((push.repository, tag)))
        and record.descriptor.digest != push.descriptor.digest
    ]
    outcome = PushOutcome(tuple(missing.values()), tuple(immovable))
    if outcome.is_recorded:
        _record(facts, push)
    return outcome


def _missing(facts: Facts, push: Push) -> Iterable[Descriptor]:
    for blob in push.references.blobs:
        owners = facts.linking(blob.digest) if blob.digest in facts.blobs else set()
        if owners.isdisjoint((push.repository, push.lender)):
            yield blob
    for child in push.references.manifests:
        if (push.repository, child.digest) not in facts.manifests:
            yield child


def _record(facts: Facts, push: Push) -> None:
    facts.put_manifest(push.repository, push.descriptor, push.references, push.pushed_at)
    kept = facts.manifests[push.repository, push.descriptor.digest].descriptor
    for tag in push.tags:
        facts.tags[push.repository, tag] = TagRecord(kept, push.pushed_at)


def remove_manifest(facts: Facts, repository: Repository, digest: Digest) -> Removal:
    manifest = facts.manifests.get((repository, digest))
    if manifest is None:
        return _NOT_THERE
    needed_by = _named(parent.digest for parent in facts.parents(manifest))
    if not needed_by:
        for tag in facts.tags_on(repository, digest):
            del facts.tags[repository, tag]
        del facts.manifests[repository, digest]
    return Removal(found=True, needed_by=needed_by)


def mount_blob(
    facts: Facts, repository: Repository, digest: Digest, at: datetime
) -> BlobRecord | None:
    blob = facts.stored(digest)
    if blob is not None:
        facts.link(repository, digest, at)
    return blob


def renew_link(
    facts: Facts, repository: Repository, digest: Digest, at: datetime
) -> BlobRecord | None:
    if (repository, digest) not in facts.links:
        return None
    return mount_blob(facts, repository, digest, at)


def unlink_blob(facts: Facts, repository: Repository, digest: Digest) -> Removal:
    if (repository, digest) not in facts.links:
        return _NOT_THERE
    needed_by = _named(manifest.digest for manifest in facts.referring(repository, digest))
    if not needed_by:
        del facts.links[repository, digest]
    return Removal(found=True, needed_by=needed_by)


def list_owners(facts: Facts, digest: Digest) -> Sequence[Repository]:
    if digest not in facts.blobs:
        return []
    return sorted(facts.linking(digest), key=lambda owner: (owner.upstream or "", str(owner.name)))


def list_referrers(
    facts: Facts, repository: Repository, subject: Digest, after: Digest | None
) -> Sequence[Descriptor]:
    found = [
        manifest.descriptor
        for manifest in facts.manifests_of(repository)
        if subject in manifest.subjects and (after is None or str(manifest.digest) > str(after))
    ]
    return sorted(found, key=lambda descriptor: str(descriptor.digest))


def list_repositories(
    facts: Facts, after: str | None, *, hosted_only: bool
) -> Sequence[Repository]:
    start = None if after is None else place_in_text(after)
    found = [
        repository
        for repository in {owner for owner, _ in facts.manifests}
        if (start is None or str(repository) > start)
        and not (hosted_only and repository.upstream is not None)
    ]
    return sorted(found, key=str)


def list_dead_blobs(
    facts: Facts, unless_after: datetime, after: Digest | None
) -> Sequence[DeadBlob]:
    dead = [
        DeadBlob(BlobRecord(digest, blob.size), _idle_since(facts, digest))
        for digest, blob in facts.blobs.items()
        if _is_dead(facts, digest, unless_after) and (after is None or str(digest) > str(after))
    ]
    return sorted(dead, key=lambda entry: str(entry.blob.digest))


def collect_blobs(
    facts: Facts, digests: Sequence[Digest], unless_after: datetime
) -> Sequence[BlobRecord]:
    wanted = sorted(set(digests), key=str)
    return [facts.remove_blob(digest) for digest in wanted if _is_dead(facts, digest, unless_after)]


def collect_links(
    facts: Facts, unless_after: datetime, after: LinkCursor | None, limit: int
) -> tuple[int, LinkCursor | None]:
    def place(link: tuple[Repository, Digest]) -> tuple[datetime, str]:
        repository, digest = link
        return facts.links[link], f"{digest} {repository}"

    stale = [
        (repository, digest)
        for (repository, digest), linked_at in facts.links.items()
        if repository.upstream is None
        and linked_at <= unless_after
        and not facts.referring(repository, digest)
        and (after is None or place((repository, digest)) > (after.linked_at, after.key))
    ]
    gone = sorted(stale, key=place)[:limit]
    last = LinkCursor(*place(gone[-1])) if len(stale) > limit else None
    for link in gone:
        del facts.links[link]
    return len(gone), last


def hosted_bytes(facts: Facts) -> int:
    linked = {digest for repository, digest in facts.links if repository.upstream is None}
    needed = [held.needs for held in facts.manifests.values() if held.repository.upstream is None]
    return sum(
        facts.blobs[digest].size for digest in linked.union(*needed) if digest in facts.blobs
    )


def _is_dead(facts: Facts, digest: Digest, unless_after: datetime) -> bool:
    return (
        digest in facts.blobs
        and not facts.needing(digest)
        and all(owner.upstream is None for owner in facts.linking(digest))
        and _idle_since(facts, digest) <= unless_after
    )


def _idle_since(facts: Facts, digest: Digest) -> datetime:
    linked = [facts.links[owner, digest] for owner in facts.linking(digest)]
    return max([facts.blobs[digest].last_used_at, *linked])


def _named(digests: Iterable[Digest]) -> tuple[Digest, ...]:
    return tuple(sorted(digests, key=str)[:MOST_NAMED])
