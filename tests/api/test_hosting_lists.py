"""Tags, referrers and the catalog over HTTP, page by page."""

import json
import re

import pytest

from tests.api.pushing import Pusher
from tests.api.site import BY_DIGEST, Site
from tests.simulated_hub import blob, make_image, make_index
from tests.simulated_hub.content import OCI, make_artifact
from tests.world import Reply

IMAGE = make_image(layers=[blob("hosted", 500)])
TEAM = "team/group/app"
LINK = re.compile(r'<([^>]+)>; rel="next"')


@pytest.fixture
def pusher(site: Site) -> Pusher:
    return Pusher(site.mirror, TEAM)


async def pages(pusher: Pusher, path: str, key: str) -> list[list[object]]:
    """Every page from this one on, as the links lead."""
    found = []
    while path:
        reply = await pusher.mirror.get(path)
        assert reply.status == 200
        assert reply.headers["Content-Length"] == str(len(reply.body))
        found.append(json.loads(reply.body)[key])
        link = reply.headers.get("Link", "")
        match = LINK.fullmatch(link)
        assert not link or match
        path = match[1] if match else ""
    return found


async def test_tags_in_pages(pusher: Pusher) -> None:
    for tag in ("c", "a", "b", "A"):
        await pusher.push(tag, IMAGE)
    path = f"/v2/{TEAM}/tags/list"
    everything = ["A", "a", "b", "c"]

    reply = await pusher.get("tags/list")
    assert json.loads(reply.body) == {"name": TEAM, "tags": everything}
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["Cache-Status"] == "mirror; hit; detail=hosted"
    assert await pages(pusher, path, "tags") == [everything]
    assert await pages(pusher, f"{path}?n=3", "tags") == [everything[:3], everything[3:]]
    assert await pages(pusher, f"{path}?n=2&last=A", "tags") == [["a", "b"], ["c"]]
    assert await pages(pusher, f"{path}?n=4", "tags") == [everything]
    assert await pages(pusher, f"{path}?n=0", "tags") == [[]]
    assert await pages(pusher, f"{path}?last=zz", "tags") == [[]]
    head = await pusher.head("tags/list")
    assert (head.body, head.headers["Content-Length"]) == (b"", str(len(reply.body)))

    await pusher.delete("manifests/b")
    assert await pages(pusher, path, "tags") == [["A", "a", "c"]]


async def test_tags_of_nothing(pusher: Pusher) -> None:
    reply = await pusher.get("tags/list")
    assert (reply.status, codes(reply)) == (404, ["NAME_UNKNOWN"])
    await pusher.push(None, IMAGE)
    assert json.loads((await pusher.get("tags/list")).body)["tags"] == []
    assert (await pusher.get("tags/list?n=x")).status == 400


def codes(reply: Reply) -> list[str]:
    return [error["code"] for error in json.loads(reply.body)["errors"]]


async def test_the_catalog_in_pages(site: Site) -> None:
    path = "/v2/_catalog"
    pusher = Pusher(site.mirror, TEAM)
    assert await pages(pusher, path, "repositories") == [[]]
    for name in (TEAM, "nginx", "local/app"):
        await Pusher(site.mirror, name).push("latest", IMAGE)
    await site.mirror.get(BY_DIGEST)
    everything = ["docker.io/library/nginx", "local/app", "nginx", TEAM]

    assert await pages(pusher, path, "repositories") == [everything]
    assert await pages(pusher, f"{path}?n=3", "repositories") == [everything[:3], everything[3:]]
    assert await pages(pusher, f"{path}?n=1&last=local/app", "repositories") == [
        ["nginx"],
        [TEAM],
    ]
    assert await pages(pusher, f"{path}?n=0", "repositories") == [[]]
    head = await site.mirror.head(path)
    assert (head.status, head.body) == (200, b"")
    for name in everything:
        assert (await site.mirror.get(f"/v2/{name}/tags/list")).status == 200


async def test_referrers_are_an_index_that_is_right_at_once(pusher: Pusher) -> None:
    path = f"referrers/{IMAGE.digest}"
    empty = await pusher.get(path)
    assert (empty.status, empty.headers["Content-Type"]) == (200, OCI.index)
    assert json.loads(empty.body) == {
        "schemaVersion": 2,
        "mediaType": OCI.index,
        "manifests": [],
    }
    note = make_artifact(IMAGE, b"note", "application/vnd.example.note")
    scan = make_artifact(IMAGE, b"scan", "application/vnd.example.scan")
    await pusher.push(None, note)
    await pusher.push(None, scan)

    listed = json.loads((await pusher.get(path)).body)["manifests"]
    assert sorted(entry["digest"] for entry in listed) == sorted([note.digest, scan.digest])
    filtered = await pusher.get(f"{path}?artifactType=application/vnd.example.note")
    (entry,) = json.loads(filtered.body)["manifests"]
    assert entry == {
        "mediaType": note.media_type,
        "digest": note.digest,
        "size": note.size,
        "artifactType": "application/vnd.example.note",
    }
    assert filtered.headers["OCI-Filters-Applied"] == "artifactType"
    assert "OCI-Filters-Applied" not in (await pusher.get(path)).headers

    await pusher.delete(f"manifests/{note.digest}")
    listed = json.loads((await pusher.get(path)).body)["manifests"]
    assert [entry["digest"] for entry in listed] == [scan.digest]
    assert (await pusher.get("referrers/sha256:short")).status == 400


async def test_referrers_in_pages_keep_the_filter(pusher: Pusher) -> None:
    kind = "application/vnd.example+note"
    notes = [make_artifact(IMAGE, bytes([number]), kind) for number in range(5)]
    for note in notes:
        await pusher.push(None, note)
    await pusher.push(None, make_artifact(IMAGE, b"x", "application/vnd.example.scan"))
    path = f"/v2/{TEAM}/referrers/{IMAGE.digest}?artifactType=application/vnd.example%2Bnote&n=2"

    found = await pages(pusher, path, "manifests")

    assert [len(page) for page in found] == [2, 2, 1]
    digests = [entry["digest"] for page in found for entry in page if isinstance(entry, dict)]
    assert digests == sorted(note.digest for note in notes)


async def test_a_name_that_holds_the_words_of_paths(site: Site) -> None:
    pusher = Pusher(site.mirror, "a/tags/list/manifests/b")
    await pusher.push("1", make_index([IMAGE]))
    assert json.loads((await pusher.get("tags/list")).body)["tags"] == ["1"]
