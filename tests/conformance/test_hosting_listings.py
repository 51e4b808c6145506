"""What every store of facts promises about referrers and about the catalog."""

from collections.abc import Sequence

import pytest

from mirror.oci.digest import Digest
from mirror.oci.manifest import Descriptor, References
from mirror.oci.reference import RepositoryName
from mirror.ports.hosting import Facts
from mirror.ports.repository import Repository
from tests.conformance.metadata import (
    LATEST,
    NGINX,
    NGINX_ELSEWHERE,
    REDIS,
    at,
    blob,
    digest,
    index,
    layer,
    manifest,
    tagged,
)
from tests.conformance.pushing import APP, COPY, push_image, pushed

SUBJECT = digest("subject")


def about(descriptor: Descriptor) -> References:
    return References((), (), descriptor)


async def refer(facts: Facts, *names: str, repository: Repository = APP) -> None:
    for name in names:
        push = pushed(manifest(name), about(manifest("subject")), repository=repository)
        await facts.push_manifest(push)


async def test_nobody_refers_to_what_nobody_knows(metadata: Facts) -> None:
    assert await metadata.list_referrers(APP, SUBJECT, None, 10) == []


async def test_referrers_are_told_in_the_order_of_their_digests(metadata: Facts) -> None:
    await refer(metadata, "a", "b", "c")
    await metadata.push_manifest(pushed(index("i"), about(manifest("subject"))))
    await metadata.push_manifest(pushed(manifest("other"), about(manifest("another"))))
    await push_image(metadata, "subject", [])

    found = await metadata.list_referrers(APP, SUBJECT, None, 10)

    expected = [manifest("a"), manifest("b"), manifest("c"), index("i")]
    assert found == sorted(expected, key=lambda descriptor: str(descriptor.digest))


async def test_referrers_are_those_of_one_repository(metadata: Facts) -> None:
    await refer(metadata, "a", repository=COPY)
    await metadata.put_manifest(NGINX, manifest("b"), about(manifest("subject")), at(0))

    assert await metadata.list_referrers(APP, SUBJECT, None, 10) == []
    assert await metadata.list_referrers(COPY, SUBJECT, None, 10) == [manifest("a")]
    assert await metadata.list_referrers(NGINX, SUBJECT, None, 10) == [manifest("b")]


@pytest.mark.parametrize("limit", [1, 2, 5, 6])
async def test_referrers_page_by_page(metadata: Facts, limit: int) -> None:
    await refer(metadata, *"abcde")

    found: list[Digest] = []
    while page := await metadata.list_referrers(APP, SUBJECT, found[-1] if found else None, limit):
        assert len(page) <= limit
        found += [descriptor.digest for descriptor in page]

    assert found == sorted(map(digest, "abcde"), key=str)


async def test_a_removed_manifest_refers_to_nothing(metadata: Facts) -> None:
    await refer(metadata, "a")
    await metadata.remove_manifest(APP, digest("a"))

    assert await metadata.list_referrers(APP, SUBJECT, None, 10) == []


def named(upstream: str | None, name: str) -> Repository:
    return Repository(upstream, RepositoryName(name))


MANY = (
    named(None, "a/b"),
    named(None, "docker.io0"),
    named(None, "nginx"),
    named(None, "zebra"),
    named("docker.io", "library/nginx"),
    named("docker.io", "library/nginx-more"),
    named("docker.io", "library/nginx/more"),
    named("docker.io-copy", "a"),
    named("ghcr.io", "a/b"),
    named("ghcr.io:5000", "a/b"),
)


async def fill(facts: Facts, repositories: Sequence[Repository]) -> None:
    for repository in reversed(repositories):
        await facts.put_manifest(repository, manifest("m"), None, at(0))
        await facts.put_manifest(repository, manifest("n"), None, at(0))


async def test_no_repository_is_there_at_first(metadata: Facts) -> None:
    assert await metadata.list_repositories(None, 10) == []


async def test_hosted_and_proxied_repositories_are_one_list(metadata: Facts) -> None:
    await fill(metadata, MANY)

    assert await metadata.list_repositories(None, 100) == sorted(MANY, key=str)


@pytest.mark.parametrize("limit", [1, 3, 10])
async def test_repositories_page_by_page(metadata: Facts, limit: int) -> None:
    await fill(metadata, MANY)

    found: list[Repository] = []
    while page := await metadata.list_repositories(str(found[-1]) if found else None, limit):
        assert len(page) <= limit
        found += page

    assert found == sorted(MANY, key=str)


@pytest.mark.parametrize(
    "after",
    ["", "a", "docker.io", "docker.io/", "docker.io/library/nginx", "docker.io/~", "docker.io-",
     "ghcr.io/a/b", "ghcr.io0", "zebra", "~", "ghcr.io:", "\0", "docker.io/library\0/nginx",
     "\ud800", "docker.io/\ud800", "é"],
)  # fmt: skip
async def test_any_text_is_a_place_in_the_list(metadata: Facts, after: str) -> None:
    await fill(metadata, MANY)

    found = await metadata.list_repositories(after, 100)

    start = after.replace("\0", "").replace("\ud800", "")
    assert found == sorted((r for r in MANY if str(r) > start), key=str)


async def test_hosted_repositories_alone(metadata: Facts) -> None:
    await fill(metadata, MANY)
    hosted = [repository for repository in MANY if repository.upstream is None]

    assert await metadata.list_repositories(None, 100, hosted_only=True) == hosted
    assert await metadata.list_repositories("docker.io0", 1, hosted_only=True) == [hosted[2]]


async def test_a_repository_without_a_manifest_is_not_listed(metadata: Facts) -> None:
    await metadata.put_blob(APP, blob(layer("a")), at(0))
    await metadata.put_tag(REDIS, LATEST, tagged(manifest("m")))
    await push_image(metadata, "m", [], repository=COPY)
    await metadata.put_manifest(NGINX, manifest("m"), None, at(0))
    await metadata.put_manifest(NGINX_ELSEWHERE, manifest("m"), None, at(0))
    assert await metadata.list_repositories(None, 10) == [NGINX, NGINX_ELSEWHERE, COPY]

    await metadata.remove_manifest(COPY, digest("m"))
    await metadata.delete_manifest(NGINX, digest("m"))

    assert await metadata.list_repositories(None, 10) == [NGINX_ELSEWHERE]
