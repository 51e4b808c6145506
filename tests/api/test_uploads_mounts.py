"""Mounting a blob from another repository: where it may be pulled, and else never an error."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from mirror.oci.digest import digest_of, parse_digest
from mirror.ports.access import Action, Identity
from mirror.registry.glob import Glob
from mirror.registry.routing import Router, UpstreamRule
from tests.api.services import make_mirror, repository
from tests.api.uploading import CONTENT, DIGEST, NAME, UPLOADS, Uploading, uploading_to
from tests.api.wire import Answer
from tests.simulated_hub import blob, make_image

LAYER = blob("layer", 3000)
NGINX = make_image(layers=[LAYER])
LAYER_DIGEST = digest_of(LAYER)


@pytest.fixture
async def server() -> AsyncIterator[Uploading]:
    mirror = make_mirror()
    await mirror.hold(repository("docker.io/library/nginx"), "1", NGINX)
    async with uploading_to(mirror) as server:
        yield server


async def mount(server: Uploading, digest: object, *sources: str, name: str = NAME) -> Answer:
    query = "".join(f"&from={source}" for source in sources)
    return await server.ask("POST", f"/v2/{name}/blobs/uploads/?mount={digest}{query}", body=b"")


async def is_begun_instead(server: Uploading, answer: Answer) -> bool:
    """With an upload that can be gone on with, and no word of why."""
    assert (answer.status, answer.body) == (202, b"")
    assert answer["Location"].startswith(UPLOADS)
    return (await server.ask("GET", answer["Location"])).status == 204


async def test_from_a_hosted_repository(server: Uploading) -> None:
    await server.push(CONTENT, "theirs")
    assert (await server.pull(DIGEST)).status == 404

    answer = await mount(server, DIGEST, "theirs")

    assert (answer.status, answer["Location"]) == (201, f"/v2/{NAME}/blobs/{DIGEST}")
    assert answer["Docker-Content-Digest"] == str(DIGEST)
    head = await server.ask("HEAD", answer["Location"])
    assert (head.status, head["Content-Length"]) == (200, str(len(CONTENT)))
    assert (await server.pull(DIGEST)).body == CONTENT


@pytest.mark.parametrize("source", ["docker.io/library/nginx", "library/nginx", "nginx"])
async def test_from_a_proxied_repository_however_it_is_called(
    server: Uploading, source: str
) -> None:
    assert (await mount(server, LAYER_DIGEST, source)).status == 201
    assert (await server.pull(LAYER_DIGEST)).body == LAYER


@pytest.mark.parametrize("is_pushed", [True, False])
async def test_from_whoever_has_it(server: Uploading, is_pushed: bool) -> None:  # noqa: FBT001 - a parameter
    digest = await server.push(CONTENT, "theirs") if is_pushed else LAYER_DIGEST
    assert (await mount(server, digest)).status == 201
    assert (await server.pull(digest)).status == 200


async def test_what_is_nowhere(server: Uploading) -> None:
    for digest in (digest_of(b"absent"), digest_of(b"absent", "sha512")):
        assert await is_begun_instead(server, await mount(server, digest, "theirs"))
        assert await is_begun_instead(server, await mount(server, digest))


@pytest.mark.parametrize(
    "source",
    [
        "theirs",
        "other",
        "library/redis",
        "ghcr.io/a/b",
        "UPPER",
        "a//b",
        "..",
        "%00",
        "",
        "x" * 300,
    ],
)
async def test_what_is_not_where_it_is_said_to_be(server: Uploading, source: str) -> None:
    """Also when it is elsewhere: knowing a digest is no permission."""
    for digest in (LAYER_DIGEST, await server.push(CONTENT, "secret")):
        assert await is_begun_instead(server, await mount(server, digest, source))
        assert (await server.pull(digest)).status == 404


async def test_what_was_linked_and_is_not_stored(server: Uploading) -> None:
    """The row is there, the file is not: nobody is told that it is."""
    await server.mirror.store.delete(LAYER_DIGEST)
    answer = await mount(server, LAYER_DIGEST, "library/nginx")
    assert await is_begun_instead(server, answer)
    assert await is_begun_instead(server, await mount(server, LAYER_DIGEST))


async def test_a_manifest_is_not_mounted_as_a_blob(server: Uploading) -> None:
    digest = parse_digest(NGINX.digest)
    assert await is_begun_instead(server, await mount(server, digest, "library/nginx"))
    assert await is_begun_instead(server, await mount(server, digest))


async def test_it_is_mounted_as_often_as_one_likes(server: Uploading) -> None:
    for name in (NAME, NAME, "third"):
        assert (await mount(server, LAYER_DIGEST, "library/nginx", name=name)).status == 201
    assert (await mount(server, LAYER_DIGEST, NAME, name=NAME)).status == 201


async def test_of_several_sources_the_first_counts(server: Uploading) -> None:
    assert (await mount(server, LAYER_DIGEST, "library/nginx", "other")).status == 201
    other = await mount(server, LAYER_DIGEST, "other", "library/nginx", name="third")
    assert other.status == 202


async def test_no_upstream_is_asked(server: Uploading) -> None:
    """What is not here is not fetched for the sake of it."""
    upstream = server.mirror.upstreams["docker.io"]
    asked = len(upstream.asked)
    for source in ("library/nginx", "library/redis", "redis", "docker.io/a/b"):
        await mount(server, digest_of(b"absent"), source)
        await mount(server, LAYER_DIGEST, source)
    assert len(upstream.asked) == asked


async def test_a_repository_that_is_kept_out_lends_nothing() -> None:
    """What an operator has forbidden since is still stored, and a mount no way to it."""
    mirror = make_mirror()
    rule = UpstreamRule("docker.io", default=True, deny=(Glob("library/nginx"),))
    mirror.services = replace(mirror.services, router=Router([rule], []))
    await mirror.hold(repository("docker.io/library/nginx"), "1", NGINX)
    async with uploading_to(mirror) as server:
        for source in ("library/nginx", "docker.io/library/nginx", "nginx"):
            assert await is_begun_instead(server, await mount(server, LAYER_DIGEST, source))
        assert await is_begun_instead(server, await mount(server, LAYER_DIGEST))


@dataclass(frozen=True, slots=True)
class WriteOnly:
    """An access policy by which everybody may push and nobody may pull."""

    def allows(self, _identity: Identity, action: Action) -> bool:
        return action is not Action.PULL

    def advice(self, _identity: Identity, _action: Action) -> str:
        return "nothing would allow it"


async def test_who_may_not_pull_is_lent_nothing() -> None:
    mirror = make_mirror()
    mirror.services = replace(mirror.services, access=WriteOnly())
    await mirror.hold(repository("docker.io/library/nginx"), "1", NGINX)
    async with uploading_to(mirror) as server:
        await server.push(CONTENT, "team/x/app")
        for source in (("team/x/app",), ("library/nginx",), ()):
            for digest in (DIGEST, LAYER_DIGEST):
                assert await is_begun_instead(server, await mount(server, digest, *source))
