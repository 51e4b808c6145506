"""Pushing and deleting over HTTP: statuses, headers and words."""

import json

import pytest
from multidict import CIMultiDictProxy

from mirror.oci.digest import digest_of
from tests.api.pushing import Pusher
from tests.api.site import INDEX, Site
from tests.simulated_hub import blob, make_image, make_index
from tests.simulated_hub.content import make_artifact
from tests.world import Reply

IMAGE = make_image(layers=[blob("hosted", 5_000)])
TEAM = "team/group/app"


@pytest.fixture
def pusher(site: Site) -> Pusher:
    return Pusher(site.mirror, TEAM)


def codes(reply: Reply) -> list[str]:
    return [error["code"] for error in json.loads(reply.body)["errors"]]


def message(reply: Reply) -> str:
    (error,) = json.loads(reply.body)["errors"]
    return str(error["message"])


async def test_a_push_is_answered_with_what_can_be_pulled(pusher: Pusher) -> None:
    reply = await pusher.push("1.0", IMAGE)

    assert reply.status == 201
    assert reply.headers["Location"] == f"/v2/{TEAM}/manifests/{IMAGE.digest}"
    assert reply.headers["Docker-Content-Digest"] == IMAGE.digest
    assert reply.headers["Content-Length"] == "0"
    assert "OCI-Subject" not in reply.headers
    assert "OCI-Tag" not in reply.headers
    pulled = await pusher.mirror.get(reply.headers["Location"])
    assert (pulled.status, pulled.body) == (200, IMAGE.content)


@pytest.mark.parametrize("reference", ["1.0", IMAGE.digest])
async def test_a_manifest_is_pulled_as_any_other(pusher: Pusher, reference: str) -> None:
    await pusher.push("1.0", IMAGE)
    for _ in ("read", "from memory", "prepared"):
        get = await pusher.get(f"manifests/{reference}")
        head = await pusher.head(f"manifests/{reference}")
        assert (get.status, get.body) == (200, IMAGE.content)
        assert (head.status, head.body) == (200, b"")
        for reply in (get, head):
            assert reply.headers["Content-Type"] == IMAGE.media_type
            assert reply.headers["Content-Length"] == str(len(IMAGE.content))
            assert reply.headers["Docker-Content-Digest"] == IMAGE.digest
            assert reply.headers["ETag"] == f'"{IMAGE.digest}"'
            assert reply.headers["Cache-Status"] == "mirror; hit; detail=hosted"
            assert "Warning" not in reply.headers
    known = await pusher.get(f"manifests/{reference}", {"If-None-Match": f'"{IMAGE.digest}"'})
    assert known.status == 304


async def test_a_blob_is_pulled_as_any_other(pusher: Pusher) -> None:
    await pusher.push("1.0", IMAGE)
    (digest,), (content,) = IMAGE.layers, [IMAGE.blobs[IMAGE.layers[0]]]
    path = f"blobs/{digest}"

    get, head = await pusher.get(path), await pusher.head(path)
    part = await pusher.get(path, {"Range": "bytes=4000-"})
    beyond = await pusher.get(path, {"Range": "bytes=5000-"})
    known = await pusher.get(path, {"If-None-Match": f'"{digest}"'})

    assert (get.status, get.body) == (200, content)
    assert (head.status, head.headers["Content-Length"]) == (200, "5000")
    assert (part.status, part.body) == (206, content[4000:])
    assert part.headers["Content-Range"] == "bytes 4000-4999/5000"
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, "bytes */5000")
    assert known.status == 304
    for reply in (get, head, part):
        assert reply.headers["Cache-Status"] == "mirror; hit; detail=hosted"
        assert reply.headers["Docker-Content-Digest"] == digest


async def test_what_is_hosted_is_counted_as_that(pusher: Pusher) -> None:
    await pusher.push("1.0", IMAGE)
    await pusher.get("manifests/1.0")
    await pusher.get("manifests/1.0")
    await pusher.head("manifests/1.0")
    await pusher.get(f"blobs/{IMAGE.config}")
    await pusher.get("tags/list")
    await pusher.get("manifests/absent")

    stats = json.loads((await pusher.mirror.get("/api/v1/stats")).body)

    assert stats["requests"]["hosted"] == 5
    assert stats["requests"]["error"] == 1
    assert stats["requests"]["hit"] == stats["requests"]["miss"] == 0
    served = 2 * len(IMAGE.content) + len(IMAGE.blobs[IMAGE.config])
    assert stats["bytes"] == {"served": served, "from_upstream": 0, "saved": 0}


async def test_by_sha512(pusher: Pusher) -> None:
    await pusher.put_blobs(IMAGE.blobs)
    digest = str(digest_of(IMAGE.content, "sha512"))

    reply = await pusher.put(digest, IMAGE, tags=["1.0"])

    assert (reply.status, reply.headers["Docker-Content-Digest"]) == (201, digest)
    assert reply.headers["Location"].endswith(f"/manifests/{digest}")
    for reference in ("1.0", digest):
        pulled = await pusher.get(f"manifests/{reference}")
        assert pulled.body == IMAGE.content
        assert pulled.headers["Docker-Content-Digest"] == digest
    assert (await pusher.get(f"manifests/{IMAGE.digest}")).status == 404


async def test_tags_can_come_as_parameters(pusher: Pusher) -> None:
    await pusher.put_blobs(IMAGE.blobs)
    tags = [f"t{number}" for number in range(12)]

    reply = await pusher.put(IMAGE.digest, IMAGE, tags=tags)

    assert reply.status == 201
    assert isinstance(reply.headers, CIMultiDictProxy)
    assert reply.headers.getall("OCI-Tag") == tags
    for tag in tags:
        assert (await pusher.head(f"manifests/{tag}")).status == 200


async def test_too_many_tags_and_wrong_ones(pusher: Pusher) -> None:
    await pusher.put_blobs(IMAGE.blobs)
    many = await pusher.put(IMAGE.digest, IMAGE, tags=[f"t{number}" for number in range(101)])
    wrong = await pusher.put(IMAGE.digest, IMAGE, tags=["fine", "-wrong"])
    by_tag = await pusher.put("-wrong", IMAGE)

    assert (many.status, codes(many)) == (414, ["TAG_INVALID"])
    assert (wrong.status, codes(wrong)) == (400, ["TAG_INVALID"])
    assert (by_tag.status, codes(by_tag)) == (400, ["TAG_INVALID"])
    assert (await pusher.get("tags/list")).status == 404


async def test_a_subject_is_confirmed(pusher: Pusher) -> None:
    note = make_artifact(IMAGE, b"note")
    reply = await pusher.push(None, note)
    assert reply.headers["OCI-Subject"] == IMAGE.digest


async def test_each_missing_blob_is_an_error_of_its_own(pusher: Pusher) -> None:
    reply = await pusher.put("1.0", IMAGE)

    assert reply.status == 400
    assert codes(reply) == ["MANIFEST_BLOB_UNKNOWN"] * 2
    details = [error["detail"]["digest"] for error in json.loads(reply.body)["errors"]]
    assert sorted(details) == sorted(IMAGE.blobs)
    assert (await pusher.get("manifests/1.0")).status == 404


@pytest.mark.parametrize(
    ("reference", "body", "content_type", "status", "code"),
    [
        ("1.0", b"", None, 400, "MANIFEST_INVALID"),
        ("1.0", b"{}", None, 400, "MANIFEST_INVALID"),
        ("1.0", IMAGE.content, INDEX.media_type, 400, "MANIFEST_INVALID"),
        (INDEX.digest, IMAGE.content, IMAGE.media_type, 400, "DIGEST_INVALID"),
        ("sha256:short", IMAGE.content, IMAGE.media_type, 400, "DIGEST_INVALID"),
        ("md5:d41d8cd98f00b204e9800998ecf8427e", IMAGE.content, None, 400, "DIGEST_INVALID"),
    ],
)
async def test_what_is_no_manifest(
    pusher: Pusher,
    reference: str,
    body: bytes,
    content_type: str | None,
    status: int,
    code: str,
) -> None:
    headers = {"Content-Type": content_type or "application/json"}
    reply = await pusher.ask("PUT", f"manifests/{reference}", body, headers)
    assert (reply.status, codes(reply)) == (status, [code])


async def test_an_encoded_manifest_is_refused(pusher: Pusher) -> None:
    headers = {"Content-Type": IMAGE.media_type, "Content-Encoding": "gzip"}
    reply = await pusher.ask("PUT", "manifests/1.0", IMAGE.content, headers)
    assert (reply.status, codes(reply)) == (400, ["MANIFEST_INVALID"])
    assert "Content-Encoding" in message(reply)


async def test_what_is_deleted_is_gone(pusher: Pusher) -> None:
    await pusher.push("1.0", IMAGE)
    await pusher.put("2.0", IMAGE)
    for _ in ("read", "from memory", "prepared"):
        assert (await pusher.get("manifests/1.0")).status == 200

    assert (await pusher.delete("manifests/1.0")).status == 202
    assert (await pusher.get("manifests/1.0")).status == 404
    assert (await pusher.get(f"manifests/{IMAGE.digest}")).status == 200
    again = await pusher.delete("manifests/1.0")
    assert (again.status, codes(again)) == (404, ["MANIFEST_UNKNOWN"])

    assert (await pusher.delete(f"manifests/{IMAGE.digest}")).status == 202
    for reference in ("2.0", IMAGE.digest):
        assert (await pusher.head(f"manifests/{reference}")).status == 404
    again = await pusher.delete(f"manifests/{IMAGE.digest}")
    assert (again.status, codes(again)) == (404, ["MANIFEST_UNKNOWN"])

    for digest in IMAGE.blobs:
        assert (await pusher.delete(f"blobs/{digest}")).status == 202
        assert (await pusher.head(f"blobs/{digest}")).status == 404
        again = await pusher.delete(f"blobs/{digest}")
        assert (again.status, codes(again)) == (404, ["BLOB_UNKNOWN"])


async def test_what_is_needed_cannot_be_deleted(pusher: Pusher) -> None:
    index = make_index([IMAGE])
    await pusher.push("all", index)

    child = await pusher.delete(f"manifests/{IMAGE.digest}")
    layer = await pusher.delete(f"blobs/{IMAGE.layers[0]}")

    assert (child.status, codes(child)) == (403, ["DENIED"])
    assert index.digest in message(child)
    assert (layer.status, codes(layer)) == (403, ["DENIED"])
    assert IMAGE.digest in message(layer)
    assert (await pusher.get(f"manifests/{IMAGE.digest}")).status == 200


@pytest.mark.parametrize(
    ("name", "status", "code", "words"),
    [
        ("team/app", 403, "DENIED", 'hosted: {namespaces: ["local/**", "team/**"]}'),
        ("docker.io/library/nginx", 405, "UNSUPPORTED", "can only be pulled"),
        ("docker.io/team/app", 405, "UNSUPPORTED", "can only be pulled"),
        ("Team/App/X", 400, "NAME_INVALID", "lower case"),
    ],
)
async def test_a_push_to_a_name_that_is_not_hosted(
    site: Site, name: str, status: int, code: str, words: str
) -> None:
    pusher = Pusher(site.mirror, name)
    reply = await pusher.put("1.0", IMAGE)
    assert (reply.status, codes(reply)) == (status, [code])
    assert words in message(reply)
    if status == 405:
        assert reply.headers["Allow"] == "GET, HEAD"
    assert site.hub.requests == []
