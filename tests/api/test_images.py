"""``GET /api/v1/images``: what is stored, found by any name that a client would pull it by."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.api.images import Wanted, parse_wanted
from mirror.oci.digest import digest_of
from mirror.oci.errors import OCIError
from mirror.oci.reference import Tag
from tests.api.admin_client import AdminClient
from tests.api.services import MemoryMirror, hosted, repository
from tests.registry.scripted_upstream import manifest_of
from tests.simulated_hub import blob, make_image, make_index

NGINX = repository("docker.io/library/nginx")
APP = repository("ghcr.io/team/app")
SHARED = blob("shared", 4000)
OLD = make_image(layers=[SHARED, blob("old", 1000)])
NEW = make_image(layers=[SHARED, blob("new", 2000)])
ARM = make_image(layers=[blob("arm", 3000)], architecture="arm64")
MULTI = make_index([NEW, ARM])


def names(reply: Any) -> list[str]:
    return [f"{image['repository']}:{image['tag']}" for image in reply["images"]]


async def test_nothing_is_listed_of_an_empty_mirror(client: AdminClient) -> None:
    assert (await client.get("/api/v1/images")).json == {"images": [], "next": None}


async def test_an_image_is_described(mirror: MemoryMirror, client: AdminClient) -> None:
    await mirror.hold(NGINX, "1.26", OLD)
    mirror.clock.advance(timedelta(hours=1))
    await mirror.hold(NGINX, "1.27", NEW)
    old, new = (await client.get("/api/v1/images")).json["images"]
    assert (old["tag"], new["tag"]) == ("1.26", "1.27")
    assert new == {
        "repository": "docker.io/library/nginx",
        "upstream": "docker.io",
        "tag": "1.27",
        "digest": NEW.digest,
        "media_type": NEW.media_type,
        "bytes": NEW.size + sum(map(len, NEW.blobs.values())),
        "shared_bytes": len(SHARED),
        "complete": True,
        "platforms": [],
        "confirmed_at": "2026-01-01T01:00:00Z",
        "last_used_at": "2026-01-01T01:00:00Z",
    }


async def test_what_is_missing_of_an_image_makes_it_incomplete(
    mirror: MemoryMirror, client: AdminClient
) -> None:
    await mirror.hold(NGINX, "latest", NEW, whole=False)
    (image,) = (await client.get("/api/v1/images/nginx")).json["images"]
    assert (image["complete"], image["bytes"]) == (False, NEW.size)


async def test_an_index_tells_its_platforms(mirror: MemoryMirror, client: AdminClient) -> None:
    await mirror.hold_index(NGINX, "latest", MULTI)
    await mirror.hold(NGINX, None, NEW)
    (image,) = (await client.get("/api/v1/images")).json["images"]
    assert image["platforms"] == ["linux/amd64", "linux/arm64"]
    assert (image["digest"], image["complete"]) == (MULTI.digest, True)


async def test_what_has_no_tag_is_known_by_its_digest(
    mirror: MemoryMirror, client: AdminClient
) -> None:
    await mirror.hold(NGINX, None, NEW)
    (image,) = (await client.get(f"/api/v1/images/nginx@{NEW.digest}")).json["images"]
    assert (image["tag"], image["confirmed_at"]) == (None, None)


@pytest.mark.parametrize(
    "name", ["nginx", "library/nginx", "docker.io/nginx", "docker.io/library/nginx"]
)
@pytest.mark.parametrize("suffix", ["", ":latest", f"@{NEW.digest}", f":latest@{NEW.digest}"])
async def test_every_name_of_a_repository_finds_it(
    mirror: MemoryMirror, client: AdminClient, name: str, suffix: str
) -> None:
    await mirror.hold(NGINX, "latest", NEW)
    await mirror.hold(APP, "latest", OLD)
    reply = await client.get(f"/api/v1/images/{name}{suffix}")
    assert names(reply.json) == ["docker.io/library/nginx:latest"]


async def test_an_escaped_slash_is_a_slash(mirror: MemoryMirror, client: AdminClient) -> None:
    await mirror.hold(APP, "v1", NEW)
    reply = await client.get("/api/v1/images/ghcr.io%2Fteam%2Fapp%3Av1")
    assert names(reply.json) == ["ghcr.io/team/app:v1"]


async def test_what_is_hosted_comes_before_what_a_short_name_falls_back_to(
    mirror: MemoryMirror, client: AdminClient
) -> None:
    await mirror.hold(NGINX, "latest", NEW)
    await mirror.hold(hosted("nginx"), "latest", OLD)
    (image,) = (await client.get("/api/v1/images/nginx")).json["images"]
    assert (image["repository"], image["upstream"]) == ("nginx", None)


async def test_a_digest_finds_every_tag_on_it(mirror: MemoryMirror, client: AdminClient) -> None:
    for tag in ("1", "1.27", "latest"):
        await mirror.hold(NGINX, tag, NEW)
    await mirror.hold(NGINX, "1.26", OLD)
    reply = await client.get(f"/api/v1/images/nginx@{NEW.digest}")
    assert [image["tag"] for image in reply.json["images"]] == ["1", "1.27", "latest"]


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("redis", "NAME_UNKNOWN: nothing of redis is stored"),
        ("ghcr.io/team/app", "NAME_UNKNOWN: nothing of ghcr.io/team/app is stored"),
        ("nginx:2", "MANIFEST_UNKNOWN: '2' of nginx is not stored"),
        (f"nginx@{OLD.digest}", f"MANIFEST_UNKNOWN: '{OLD.digest}' of nginx is not stored"),
    ],
)
async def test_what_is_not_stored_is_404(
    mirror: MemoryMirror, client: AdminClient, path: str, problem: str
) -> None:
    await mirror.hold(NGINX, "latest", NEW)
    reply = await client.get(f"/api/v1/images/{path}")
    assert (reply.status, reply.problem) == (404, problem)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("NGINX", "NAME_INVALID"),
        ("nginx%1b[31m", "NAME_INVALID"),
        ("nginx:-", "TAG_INVALID"),
        ("nginx:", "TAG_INVALID"),
        ("nginx@latest", "DIGEST_INVALID"),
        ("nginx@sha256:12", "DIGEST_INVALID"),
        ("nginx?n=0", "PAGINATION_NUMBER_INVALID"),
        ("nginx?n=-1", "PAGINATION_NUMBER_INVALID"),
        ("nginx?n=ten", "PAGINATION_NUMBER_INVALID"),
    ],
)
async def test_what_is_no_name_is_400(client: AdminClient, path: str, code: str) -> None:
    reply = await client.get(f"/api/v1/images/{path}")
    assert (reply.status, reply.json["errors"][0]["code"]) == (400, code)


async def test_pages_follow_each_other_without_gap_or_repetition(
    mirror: MemoryMirror, client: AdminClient
) -> None:
    tags = [f"v{number}" for number in range(7)]
    for tag in tags:
        await mirror.hold(APP, tag, NEW)
    await mirror.hold(NGINX, "latest", OLD)
    for path, expected in (
        ("/api/v1/images", ["latest", *tags]),
        ("/api/v1/images/ghcr.io/team/app", tags),
    ):
        assert await all_tags(client, path, size=3) == expected


async def all_tags(client: AdminClient, path: str, size: int) -> list[str]:
    tags: list[str] = []
    query = f"n={size}"
    while True:
        page = (await client.get(f"{path}?{query}")).json
        assert len(page["images"]) <= size
        tags += [image["tag"] for image in page["images"]]
        if page["next"] is None:
            return tags
        assert len(page["images"]) == size
        query = f"n={size}&last={page['next']}"


async def test_the_longest_names_can_be_gone_on_after(
    mirror: MemoryMirror, client: AdminClient
) -> None:
    long = repository(f"ghcr.io/{'n' * 255}")
    for tag in ("a" * 128, "b" * 128, "c" * 128):
        await mirror.hold(long, tag, NEW, whole=False)
    assert await all_tags(client, "/api/v1/images", size=1) == ["a" * 128, "b" * 128, "c" * 128]


async def test_after_the_last_page_there_is_an_empty_one(
    mirror: MemoryMirror, client: AdminClient
) -> None:
    await mirror.hold(NGINX, "latest", NEW)
    empty: dict[str, object] = {"images": [], "next": None}
    assert (await client.get("/api/v1/images/nginx?last=zzz")).json == empty
    assert (await client.get("/api/v1/images?last=zzz")).json == empty
    assert (await client.get("/api/v1/images?last=%00%ff")).status == 200


async def test_a_page_has_a_hundred_images_unless_more_are_wished_for(
    mirror: MemoryMirror, client: AdminClient
) -> None:
    for number in range(101):
        await mirror.hold(NGINX, f"v{number}", NEW, whole=False)
    assert len((await client.get("/api/v1/images")).json["images"]) == 100
    assert len((await client.get("/api/v1/images?n=101")).json["images"]) == 101


async def test_a_page_is_never_larger_than_a_thousand(
    mirror: MemoryMirror, client: AdminClient
) -> None:
    for number in range(1001):
        await mirror.hold(NGINX, f"v{number:04}", NEW, whole=False)
    assert len((await client.get("/api/v1/images?n=99999999999999999999")).json["images"]) == 1000
    reply = await client.get("/api/v1/images/nginx:v1000")
    assert names(reply.json) == ["docker.io/library/nginx:v1000"]


@pytest.mark.parametrize(
    ("text", "name", "tag"),
    [
        ("nginx", "nginx", None),
        ("nginx:1", "nginx", "1"),
        ("registry.example:5000/app", "registry.example:5000/app", None),
        ("registry.example:5000/team/app:1", "registry.example:5000/team/app", "1"),
    ],
)
def test_a_port_is_not_a_tag(text: str, name: str, tag: str | None) -> None:
    assert parse_wanted(text) == Wanted(name, Tag(tag) if tag else None)


@given(st.text())
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        wanted = parse_wanted(text)
    except OCIError as error:
        assert error.status == 400  # noqa: PT017 - what is refused is the sender's mistake
    else:
        assert wanted.name in text


def test_a_digest_wins_over_a_tag() -> None:
    digest = digest_of(b"")
    assert parse_wanted(f"nginx:1@{digest}") == Wanted("nginx", digest)
    assert manifest_of(NEW).digest != digest
