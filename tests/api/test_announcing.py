"""What clients do is told to webhooks: by a whole server, to a real receiver."""

import hashlib
import hmac
import json
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.api.pushing import Pusher
from tests.api.services import make_mirror
from tests.api.site import INDEX, NAME, Site, blob_path, manifest_path, running_site
from tests.api.uploading import CONTENT, DIGEST, UPLOADS, uploading_to
from tests.api.wire import connected, request
from tests.ports import free_port
from tests.registry.listeners import open_office, subscription
from tests.simulated_hub import SimulatedHub, blob, make_image
from tests.webhooks.sink import Sink, running_sink
from tests.world import START, Mirror

SECRET = "5ecret"
IMAGE = make_image(layers=[blob("mine", 2000)])
OTHER = make_image(layers=[blob("other", 1000)])


def webhooks(sink: Sink, events: str = "push, pull, delete, moved") -> Mapping[str, str]:
    return {
        "MIRROR__PUBLIC_URL": "https://mirror.lan",
        "MIRROR__WEBHOOKS": f'[{{url: "{sink.url}", secret: {SECRET}, events: [{events}]}}]',
    }


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with running_sink() as sink:
        yield sink


@pytest.fixture
async def site(tmp_path: Path, hub: SimulatedHub, sink: Sink) -> AsyncIterator[Site]:
    async with running_site(tmp_path / "data", hub, webhooks(sink)) as site:
        yield site


def events_in(sink: Sink) -> list[dict[str, Any]]:
    return [event for received in sink.taken for event in received.events]


async def heard(sink: Sink, count: int) -> list[dict[str, Any]]:
    """So many events, once they have come, and no others."""
    await sink.until_taken(count)
    events = events_in(sink)
    assert len(events) == count
    return events


def brief(event: Mapping[str, Any]) -> tuple[str, ...]:
    """Action, repository, and what it is about."""
    target = event["target"]
    about = target.get("tag") or target.get("digest", "")
    return event["action"], target["repository"], about


async def test_a_push_is_told_blob_by_blob_and_then_its_manifest(site: Site, sink: Sink) -> None:
    await Pusher(site.mirror, "team/app/web").push("v1", IMAGE)
    events = await heard(sink, 3)
    assert [brief(event) for event in events] == [
        *(("push", "team/app/web", digest) for digest in IMAGE.blobs),
        ("push", "team/app/web", "v1"),
    ]
    event = events[-1]
    assert event["target"] == {
        "mediaType": IMAGE.media_type,
        "digest": IMAGE.digest,
        "size": IMAGE.size,
        "length": IMAGE.size,
        "repository": "team/app/web",
        "url": f"https://mirror.lan/v2/team/app/web/manifests/{IMAGE.digest}",
        "tag": "v1",
    }
    asked = event["request"]
    assert (asked["method"], asked["host"]) == ("PUT", f"127.0.0.1:{site.port}")
    assert asked["addr"].startswith("127.0.0.1:")
    assert "aiohttp" in asked["useragent"]
    assert event["timestamp"] == START.isoformat().replace("+00:00", "Z")
    assert event["source"]["instanceID"]
    assert len({event["id"] for event in events}) == 3


async def test_messages_are_signed_with_the_secret_of_the_configuration(
    site: Site, sink: Sink
) -> None:
    await Pusher(site.mirror, "app").put_blobs(IMAGE.blobs)
    await heard(sink, 2)
    for received in sink.taken:
        expected = hmac.new(SECRET.encode(), received.body, hashlib.sha256).hexdigest()
        assert received.headers["x-mirror-signature-256"] == f"sha256={expected}"


async def test_every_tag_of_a_push_is_told(site: Site, sink: Sink) -> None:
    pusher = Pusher(site.mirror, "app")
    await pusher.put_blobs(IMAGE.blobs)
    await pusher.put(IMAGE.digest, IMAGE, tags=["a", "b"])
    assert [brief(event)[2] for event in (await heard(sink, 4))[2:]] == ["a", "b"]


async def test_an_upload_in_chunks_and_a_mount_are_told(site: Site, sink: Sink) -> None:
    mine, theirs = Pusher(site.mirror, "mine"), Pusher(site.mirror, "theirs")
    begun = await mine.ask("POST", "blobs/uploads/", b"")
    place = begun.headers["Location"].removeprefix("/v2/mine/")
    await mine.ask("PATCH", place, CONTENT)
    assert (await mine.ask("PUT", f"{place}?digest={DIGEST}", b"")).status == 201
    mounted = await theirs.ask("POST", f"blobs/uploads/?mount={DIGEST}&from=mine", b"")
    assert mounted.status == 201
    pushed, loan = await heard(sink, 2)
    assert brief(pushed) == ("push", "mine", str(DIGEST))
    assert brief(loan) == ("mount", "theirs", str(DIGEST))
    assert loan["target"]["fromRepository"] == "mine"
    assert loan["target"]["size"] == pushed["target"]["size"] == len(CONTENT)


async def test_deletions_are_told(site: Site, sink: Sink) -> None:
    pusher = Pusher(site.mirror, "app")
    await pusher.push("v1", IMAGE)
    for path in ("manifests/v1", f"manifests/{IMAGE.digest}", f"blobs/{IMAGE.layers[0]}"):
        assert (await pusher.delete(path)).status == 202
    deleted = (await heard(sink, 6))[3:]
    assert [(event["action"], event["target"]) for event in deleted] == [
        ("delete", {"repository": "app", "tag": "v1"}),
        ("delete", {"repository": "app", "digest": IMAGE.digest}),
        ("delete", {"repository": "app", "digest": IMAGE.layers[0]}),
    ]


async def test_what_was_refused_is_not_told(site: Site, sink: Sink) -> None:
    pusher = Pusher(site.mirror, "app")
    assert (await pusher.put("v1", IMAGE)).status == 400
    assert (await pusher.delete("manifests/v1")).status == 404
    assert (await pusher.delete(f"blobs/{DIGEST}")).status == 404
    assert (await pusher.ask("POST", f"blobs/uploads/?digest={DIGEST}", b"other")).status == 400
    assert (await pusher.ask("POST", f"blobs/uploads/?mount={DIGEST}&from=b", b"")).status == 202
    assert (await pusher.ask("POST", f"blobs/uploads/?digest={DIGEST}", CONTENT)).status == 201
    assert [brief(event)[0] for event in await heard(sink, 1)] == ["push"]


async def flush(mirror: Mirror) -> None:
    """What was gathered goes out before a change does."""
    pushed = await Pusher(mirror, "flush").ask("POST", f"blobs/uploads/?digest={DIGEST}", CONTENT)
    assert pushed.status == 201


async def test_pulls_are_told_whichever_way_they_were_answered(site: Site, sink: Sink) -> None:
    tagged, by_digest = manifest_path("1"), None
    async with connected(site.port) as line:
        for method in ("GET", "GET", "GET", "HEAD", "HEAD", "HEAD"):
            agent = "User-Agent: docker/29.1"
            answer = await line.ask(request(tagged, agent, method=method))
            assert answer.status == 200
            by_digest = answer["Docker-Content-Digest"]
    seconds = [each.seconds for each in site.mirror.lines]
    assert 0.0 in seconds[:3], "one of them was prepared"
    assert 0.0 in seconds[3:], "one of them was prepared"
    await flush(site.mirror)
    pulls = (await heard(sink, 7))[:-1]
    assert {brief(event) for event in pulls} == {("pull", f"docker.io/{NAME}", "1")}
    assert [event["request"]["method"] for event in pulls] == [*["GET"] * 3, *["HEAD"] * 3]
    assert {event["target"]["digest"] for event in pulls} == {by_digest}
    asked = [event["request"] for event in pulls]
    assert {each["useragent"] for each in asked} == {"docker/29.1"}
    assert {each["host"] for each in asked} == {"mirror"}
    assert len({each["addr"] for each in asked}) == 1
    assert len({each["id"] for each in asked}) == 6


async def test_a_pull_by_digest_has_no_tag_and_what_a_client_has_is_no_pull(
    site: Site, sink: Sink
) -> None:
    path = manifest_path(INDEX.digest)
    for _ in range(2):
        assert (await site.mirror.get(path)).status == 200
    same = {"If-None-Match": f'"{INDEX.digest}"'}
    assert (await site.mirror.get(path, same)).status == 304
    await flush(site.mirror)
    pulls = (await heard(sink, 3))[:-1]
    assert [brief(event)[2] for event in pulls] == [INDEX.digest] * 2


async def test_pulls_of_blobs_are_told(site: Site, sink: Sink) -> None:
    content = blob("small", 3_000)
    assert (await site.mirror.get(manifest_path("1"))).status == 200
    assert (await site.mirror.get(blob_path(content))).body == content
    assert (await site.mirror.head(blob_path(content))).status == 200
    await flush(site.mirror)
    pulls = [event for event in await heard(sink, 4) if "octet" in event["target"]["mediaType"]]
    assert [event["request"]["method"] for event in pulls] == ["GET", "HEAD", "POST"]
    assert pulls[0]["target"]["size"] == 3_000


async def test_a_tag_that_moved_upstream_is_told_with_both_digests(site: Site, sink: Sink) -> None:
    assert (await site.mirror.get(manifest_path("1"))).status == 200
    site.hub.push(NAME, "1", OTHER)
    site.mirror.clock.advance(timedelta(minutes=6))
    assert (await site.mirror.head(manifest_path("1"))).status == 200
    await flush(site.mirror)
    moves = [event for event in await heard(sink, 4) if event["action"] == "moved"]
    assert [event["target"] for event in moves] == [
        {
            "mediaType": OTHER.media_type,
            "digest": OTHER.digest,
            "size": OTHER.size,
            "length": OTHER.size,
            "repository": f"docker.io/{NAME}",
            "url": f"https://mirror.lan/v2/docker.io/{NAME}/manifests/{OTHER.digest}",
            "tag": "1",
            "previousDigest": INDEX.digest,
        }
    ]
    assert moves[0]["request"] == {"id": "", "method": "", "useragent": ""}


async def test_events_outlive_the_server_that_could_not_deliver_them(
    tmp_path: Path, hub: SimulatedHub
) -> None:
    port = free_port()
    dead = webhooks(Sink(port=port))
    async with running_site(tmp_path, hub, dead) as site:
        await Pusher(site.mirror, "app").push("v1", IMAGE)
        assert (await site.mirror.get(manifest_path("1"))).status == 200
    async with running_sink(port=port) as sink:
        async with running_site(tmp_path, hub, dead) as site:
            # What failed before is not tried at once again.
            site.mirror.clock.advance(timedelta(hours=1))
            await Pusher(site.mirror, "app").delete("manifests/v1")
            events = await heard(sink, 5)
            await told(site, "delivered", 5)
        assert [brief(event)[0] for event in events] == ["push", "push", "push", "pull", "delete"]


async def told(site: Site, figure: str, count: int) -> None:
    """What is delivered is counted a moment later."""
    while True:
        stats = json.loads((await site.mirror.get("/api/v1/stats")).body)
        [webhook] = stats["webhooks"].values()
        if webhook[figure] == count:
            return


async def test_without_webhooks_nothing_is_written(tmp_path: Path, hub: SimulatedHub) -> None:
    async with running_site(tmp_path, hub) as site:
        await Pusher(site.mirror, "app").push("v1", IMAGE)
        await site.mirror.get(manifest_path("1"))
        await flush(site.mirror)
    with closing(sqlite3.connect(tmp_path / "metadata.db")) as connection:
        for table in ("event_queues", "queued_events"):
            [(count,)] = connection.execute(f"SELECT count(*) FROM {table}")  # noqa: S608 - a name of ours
            assert count == 0


@pytest.mark.parametrize(("is_full", "status"), [(True, 503), (False, 201)])
async def test_a_change_is_acknowledged_only_once_its_events_are_safe(
    *, is_full: bool, status: int
) -> None:
    mirror, office = make_mirror(), await open_office(subscription("ci"))
    mirror.services = replace(mirror.services, events=office.events)
    office.queue.is_full = is_full
    async with uploading_to(mirror) as server:
        answer = await server.ask("POST", f"{UPLOADS}?digest={DIGEST}", body=CONTENT)
    assert answer.status == status
    assert len(office.queue.writes) == (0 if is_full else 1)
