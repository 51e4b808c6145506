"""The format, field by field: what the Docker registry documents and what its receivers parse.

https://distribution.github.io/distribution/about/notifications/
"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from mirror.oci.digest import parse_digest
from mirror.oci.reference import RepositoryName, Tag
from mirror.ports.events import Asker, Event, EventAction, Source, Target
from mirror.ports.repository import Repository
from mirror.webhooks.envelope import MEDIA_TYPE, render
from tests.conformance.events import MOUNTED, MOVED

PUBLIC = "http://192.168.100.227:5000"
DIGEST = "sha256:fea8895f450959fa676bcc1df0611ea93823a735a01205fd8622846041d0c7cf"

DOCUMENTED = {
    "id": "320678d8-ca14-430f-8bb6-4ca139cd83f7",
    "timestamp": "2016-03-09T22:44:26.402973Z",
    "action": "pull",
    "target": {
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "digest": DIGEST,
        "size": 708,
        "length": 708,
        "repository": "hello-world",
        "url": f"{PUBLIC}/v2/hello-world/manifests/{DIGEST}",
        "tag": "latest",
    },
    "request": {
        "id": "6df24a34-0959-4923-81ca-14f09767db19",
        "addr": "192.168.64.11:42961",
        "host": "192.168.100.227:5000",
        "method": "GET",
        "useragent": "curl/7.38.0",
    },
    "actor": {},
    "source": {"addr": "xtal.local:5000", "instanceID": "a53db899-3b4b-4a62-a067-8dd013beaca4"},
}
"""The documented example of a pull, its time in UTC and to the microsecond."""

PULLED = Event(
    id="320678d8-ca14-430f-8bb6-4ca139cd83f7",
    happened_at=datetime(2016, 3, 9, 22, 44, 26, 402973, tzinfo=UTC),
    action=EventAction.PULL,
    target=Target(
        repository=Repository(None, RepositoryName("hello-world")),
        kind="manifest",
        digest=parse_digest(DIGEST),
        media_type="application/vnd.docker.distribution.manifest.v2+json",
        size=708,
        tag=Tag("latest"),
    ),
    asker=Asker(
        id="6df24a34-0959-4923-81ca-14f09767db19",
        address="192.168.64.11:42961",
        host="192.168.100.227:5000",
        method="GET",
        agent="curl/7.38.0",
    ),
    source=Source("xtal.local:5000", "a53db899-3b4b-4a62-a067-8dd013beaca4"),
)


def rendered(event: Event, public_url: str | None = PUBLIC) -> dict[str, Any]:
    envelope = json.loads(render([event], public_url))
    assert envelope.keys() == {"events"}
    [found] = envelope["events"]
    assert isinstance(found, dict)
    return found


def test_the_media_type_is_that_of_the_second_version() -> None:
    assert MEDIA_TYPE == "application/vnd.docker.distribution.events.v2+json"


def test_the_documented_example_comes_out_as_it_is_documented() -> None:
    found = rendered(PULLED)
    assert found == DOCUMENTED
    assert list(found) == list(DOCUMENTED), "for people who read it"


def test_an_envelope_holds_events_in_their_order() -> None:
    events = json.loads(render([MOVED, MOUNTED, PULLED], None))["events"]
    assert [event["id"] for event in events] == [MOVED.id, MOUNTED.id, PULLED.id]


def test_of_what_was_deleted_only_digest_and_repository_are_told() -> None:
    target = Target(PULLED.target.repository, "manifest", PULLED.target.digest)
    found = rendered(replace(PULLED, action=EventAction.DELETE, target=target))
    assert found["action"] == "delete"
    assert found["target"] == {"digest": DIGEST, "repository": "hello-world"}


def test_of_a_deleted_tag_only_the_tag_and_repository_are_told() -> None:
    target = Target(PULLED.target.repository, "manifest", tag=Tag("latest"))
    found = rendered(replace(PULLED, action=EventAction.DELETE, target=target))
    assert found["target"] == {"repository": "hello-world", "tag": "latest"}


def test_a_mount_tells_where_it_was_mounted_from() -> None:
    found = rendered(MOUNTED)
    digest = str(MOUNTED.target.digest)
    assert found["action"] == "mount"
    assert found["target"] == {
        "mediaType": "application/octet-stream",
        "digest": digest,
        "size": 5,
        "length": 5,
        "repository": "team/app",
        "fromRepository": "base",
        "url": f"{PUBLIC}/v2/team/app/blobs/{digest}",
    }


def test_a_move_tells_what_the_tag_named_before() -> None:
    found = rendered(MOVED)
    digest = str(MOVED.target.digest)
    assert found["action"] == "moved"
    assert found["target"] == {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": digest,
        "size": 7,
        "length": 7,
        "repository": "docker.io/library/nginx",
        "url": f"{PUBLIC}/v2/docker.io/library/nginx/manifests/{digest}",
        "tag": "1.27",
        "previousDigest": str(MOVED.target.previous),
    }


def test_what_nobody_asked_for_has_a_request_without_content() -> None:
    """Receivers take these three for granted, even where they are empty."""
    assert rendered(MOVED)["request"] == {"id": "", "method": "", "useragent": ""}
    assert rendered(MOVED)["actor"] == {}


def test_without_a_public_address_there_is_no_link() -> None:
    assert "url" not in rendered(PULLED, None)["target"]


def test_hostile_text_stays_text() -> None:
    asker = Asker("r", "", 'x"}],"events":[', "PUT", "\u0000\u2028</script>\n")
    request = rendered(replace(PULLED, asker=asker))["request"]
    assert request == {
        "id": "r",
        "host": 'x"}],"events":[',
        "method": "PUT",
        "useragent": "\u0000\u2028</script>\n",
    }
