"""Lists of tags and referrers: whole, whatever the pages, and never from another host."""

import json

import pytest

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.media_type import OCI_INDEX, OCI_MANIFEST
from mirror.oci.reference import Tag
from mirror.ports.upstream import (
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamInvalid,
    UpstreamThrottled,
    UpstreamUnreachable,
)
from tests.simulated_hub import Fault, SimulatedHub, make_image
from tests.upstream.world import NAME, World, push_image

SUBJECT = parse_digest(f"sha256:{'5' * 64}")
JSON = ("Content-Type", "application/json")
INDEX = ("Content-Type", OCI_INDEX)


def push_tags(hub: SimulatedHub, count: int) -> list[str]:
    image = push_image(hub)
    repository = hub.repositories.by_name[str(NAME)]
    repository.tags.clear()
    names = [f"v{number:05}" for number in range(count)]
    repository.tags.update(dict.fromkeys(names, image.digest))
    return names


def page(hub: SimulatedHub, tags: object, link: str | None = None, times: int = 1) -> None:
    """The next answer to a question for tags."""
    headers = (JSON,) if link is None else (JSON, ("Link", link))
    body = json.dumps({"name": "x", "tags": tags}).encode()
    hub.faults.add(
        Fault(route="tags", kind="status", status=200, body=body, headers=headers, times=times)
    )


def asked(hub: SimulatedHub) -> list[str]:
    return [request.target for request in hub.find("tags") if request.status != 401]


async def names(world: World) -> list[str]:
    tags = await world.upstream().list_tags(NAME)
    assert tags is not None
    return [tag.value for tag in tags]


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2500])
async def test_all_pages_are_one_list(world: World, count: int) -> None:
    expected = push_tags(world.hub, count)
    assert await names(world) == expected
    assert world.hub.count("tags", status=200) == max(1, -(-count // 1000))
    assert world.hub.count("token") == 1
    assert ":pull" in world.hub.find("token")[0].query["scope"]


async def test_no_list_costs_a_pull(world: World) -> None:
    push_tags(world.hub, 3)
    await names(world)
    assert world.hub.count("manifest") == 0


LINKS = [
    "</v2/library/nginx/tags/list?last=b&n=2>; rel=next",
    "<tags/list?last=b&n=2>; rel=next",
    "<?last=b&n=2>; rel=next",
    "</somewhere/else?last=b&n=2#fragment>; rel=next",
    "<https://evil.example/v2/library/nginx/tags/list?last=b&n=2>; rel=next",
    "<http://169.254.169.254/latest/meta-data?last=b&n=2>; rel=next",
    "<//evil.example/?last=b&n=2>; rel=next",
    '<ftp://u:p@evil.example:1/\\x?last=b&n=2>; rel="next"',
    "<../../../api/v1/evict?last=b&n=2>; rel=next",
]


@pytest.mark.parametrize("link", LINKS)
async def test_a_link_says_what_to_ask_and_never_where(world: World, link: str) -> None:
    push_tags(world.hub, 0)
    page(world.hub, ["a", "b"], link)
    page(world.hub, ["c"])
    assert await names(world) == ["a", "b", "c"]
    first, second = asked(world.hub)
    assert first == f"/v2/{NAME}/tags/list?n=1000"
    assert second == f"/v2/{NAME}/tags/list?last=b&n=2"
    assert {request.port_kind for request in world.hub.requests} == {"registry", "token"}


async def test_cursors_are_handed_back_as_they_are(world: World) -> None:
    push_tags(world.hub, 0)
    page(world.hub, ["a"], "</v2/x?next_page=gAAA%2Fb%3D%3D%26&n=50>; rel=next")
    page(world.hub, ["b"])
    assert await names(world) == ["a", "b"]
    assert asked(world.hub)[1].endswith("/tags/list?next_page=gAAA%2Fb%3D%3D%26&n=50")


@pytest.mark.parametrize(
    "link", ["</v2/x>; rel=next", "<?a b>; rel=next", f"<?{'x' * 2049}>; rel=next"]
)
async def test_a_link_that_leads_nowhere_is_no_end(world: World, link: str) -> None:
    """Half a list is worse than none."""
    push_tags(world.hub, 0)
    page(world.hub, ["a"], link)
    with pytest.raises(UpstreamInvalid):
        await names(world)


async def test_a_list_that_goes_in_circles_ends(world: World) -> None:
    push_tags(world.hub, 0)
    page(world.hub, ["a"], "<?n=1000>; rel=next", times=9)
    assert await names(world) == ["a"]
    assert len(asked(world.hub)) == 1


async def test_a_list_without_end_is_given_up(world: World) -> None:
    push_tags(world.hub, 0)
    for number in range(200):
        page(world.hub, [f"t{number}"], f"<?n=1&last={number}>; rel=next")
    with pytest.raises(UpstreamInvalid, match="100 pages"):
        await names(world)
    assert len(asked(world.hub)) == 100


async def test_pages_share_one_limit(world: World) -> None:
    push_tags(world.hub, 0)
    padding = " " * (6 * 1024 * 1024)
    for number in range(4):
        page(world.hub, ["a", padding], f"<?n=1&last={number}>; rel=next")
    with pytest.raises(UpstreamInvalid, match="bytes"):
        await names(world)
    assert len(asked(world.hub)) == 3


async def test_a_page_that_vanishes_is_no_end(world: World) -> None:
    push_tags(world.hub, 0)
    page(world.hub, ["a"], "<?n=1&last=a>; rel=next")
    world.hub.faults.add(Fault(route="tags", kind="status", status=404, times=1))
    with pytest.raises(UpstreamInvalid):
        await names(world)


async def test_a_registry_that_allows_no_such_page_is_asked_for_its_own(world: World) -> None:
    expected = push_tags(world.hub, 3)
    world.hub.faults.add(Fault(route="tags", kind="status", status=400, times=1))
    assert await names(world) == expected
    assert asked(world.hub)[1] == f"/v2/{NAME}/tags/list"


async def test_a_registry_elsewhere_is_followed_without_our_token(world: World) -> None:
    """As registry.k8s.io does."""
    push_image(world.hub)
    async with SimulatedHub(auth="none") as other:
        expected = push_tags(other, 3)
        target = f"{other.url}/v2/{NAME}/tags/list?n=1000"
        fault = Fault(route="tags", kind="redirect", status=307, location=target)
        world.hub.faults.add(fault)
        assert await names(world) == expected
        (hop,) = other.find("tags")
        assert hop.authorization is None


async def test_a_missing_repository_is_no_error(world: World) -> None:
    world.hub.tokens.mode = "none"
    assert await world.upstream().list_tags(NAME) is None
    assert await world.upstream().list_referrers(NAME, SUBJECT) is None


async def test_a_private_repository_is_denied(world: World) -> None:
    push_tags(world.hub, 1)
    world.hub.make_private(str(NAME), "somebody")
    for question in (
        world.upstream().list_tags(NAME),
        world.upstream().list_referrers(NAME, SUBJECT),
    ):
        with pytest.raises(UpstreamDenied):
            await question


@pytest.mark.parametrize(
    "fault",
    [
        Fault(route="tags", kind="html"),
        Fault(route="tags", kind="truncate"),
        Fault(route="tags", kind="gzip"),
        Fault(route="tags", kind="endless", method="GET"),
        Fault(route="tags", kind="status", status=418),
        Fault(route="tags", kind="redirect", status=302),
        Fault(route="tags", kind="status", status=200, body=b'{"errors":[]}'),
    ],
    ids=lambda fault: fault.kind,
)
async def test_what_is_no_list_of_tags(world: World, fault: Fault) -> None:
    push_tags(world.hub, 3)
    world.hub.faults.add(fault)
    with pytest.raises(UpstreamError):
        await names(world)


@pytest.mark.parametrize("route", ["tags", "referrers"])
@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        ("status", 500, UpstreamFailed),
        ("status", 503, UpstreamFailed),
        ("status", 429, UpstreamThrottled),
        ("status", 403, UpstreamDenied),
        ("reset", None, UpstreamUnreachable),
    ],
)
async def test_trouble_is_told_apart(
    world: World, route: str, kind: str, status: int | None, expected: type[UpstreamError]
) -> None:
    push_tags(world.hub, 3)
    world.hub.faults.add(Fault(route=route, kind=kind, status=status))  # type: ignore[arg-type]  # from the table above
    upstream = world.upstream()
    with pytest.raises(expected):
        await (
            upstream.list_tags(NAME) if route == "tags" else upstream.list_referrers(NAME, SUBJECT)
        )


@pytest.mark.parametrize("route", ["tags", "referrers"])
async def test_passing_trouble_passes(world: World, route: str) -> None:
    push_tags(world.hub, 3)
    world.hub.faults.add(Fault(route=route, kind="status", status=502, times=2))  # type: ignore[arg-type]  # from the line above
    upstream = world.upstream()
    assert len(await upstream.list_tags(NAME) or ()) == 3
    assert await upstream.list_referrers(NAME, SUBJECT) == ()
    assert len(world.slept) == 2


def push_referrer(hub: SimulatedHub, subject: Digest, kind: str, **annotations: str) -> str:
    content = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": kind,
            "config": {"mediaType": kind, "digest": str(subject), "size": 2},
            "layers": [],
            "subject": {"mediaType": OCI_MANIFEST, "digest": str(subject), "size": 1},
            "annotations": annotations,
        }
    ).encode()
    return hub.push_manifest(str(NAME), None, content, OCI_MANIFEST)


async def test_referrers_are_all_that_is_listed(world: World) -> None:
    image = make_image(layers=[b"layer"])
    world.hub.push(str(NAME), "1", image)
    subject = parse_digest(image.digest)
    pushed = [push_referrer(world.hub, subject, f"application/x.{n}") for n in range(3)]
    referrers = await world.upstream().list_referrers(NAME, subject)
    assert referrers is not None
    assert [str(referrer.digest) for referrer in referrers] == pushed
    assert [referrer.artifact_type for referrer in referrers] == [
        f"application/x.{n}" for n in range(3)
    ]
    request = world.hub.find("referrers", status=200)[0]
    assert request.target == f"/v2/{NAME}/referrers/{subject}"
    assert request.headers["Accept"] == OCI_INDEX


def referrers_page(hub: SimulatedHub, digest: str, link: str | None = None) -> None:
    entry = {"mediaType": OCI_MANIFEST, "digest": digest, "size": 7}
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
    headers = (INDEX,) if link is None else (INDEX, ("Link", link))
    body = json.dumps(index).encode()
    hub.faults.add(
        Fault(route="referrers", kind="status", status=200, body=body, headers=headers, times=1)
    )


async def test_referrers_come_in_pages_too(world: World) -> None:
    push_image(world.hub)
    digests = [f"sha256:{str(number) * 64}" for number in range(3)]
    referrers_page(world.hub, digests[0], "<https://evil.example/x?page=1>; rel=next")
    referrers_page(world.hub, digests[1], "</x?page=2>; rel=next")
    referrers_page(world.hub, digests[2])
    referrers = await world.upstream().list_referrers(NAME, SUBJECT)
    assert [str(referrer.digest) for referrer in referrers or ()] == digests
    targets = [each.target for each in world.hub.find("referrers", status=200)]
    assert targets == [
        f"/v2/{NAME}/referrers/{SUBJECT}{query}" for query in ("", "?page=1", "?page=2")
    ]


ELSEWHERE = "https://packages.example/login"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(route="referrers", kind="status", status=404),
        Fault(route="referrers", kind="status", status=400),
        Fault(route="referrers", kind="status", status=405),
        Fault(route="referrers", kind="status", status=501),
        Fault(route="referrers", kind="html"),
        Fault(route="referrers", kind="html", status=404),
        Fault(route="referrers", kind="html", body=b"<p>" * 2_000_000),
        Fault(route="referrers", kind="redirect", status=302, location=ELSEWHERE),
        Fault(route="referrers", kind="status", status=200, body=b"ok"),
        Fault(route="referrers", kind="status", status=200, body=b"{}", headers=(JSON,)),
    ],
    ids=lambda fault: f"{fault.kind} {fault.status}",
)
async def test_registries_without_referrers(world: World, fault: Fault) -> None:
    """They answer anything at all; nothing of it is trouble."""
    push_image(world.hub)
    world.hub.faults.add(fault)
    upstream = world.upstream()
    for _ in range(8):
        assert await upstream.list_referrers(NAME, SUBJECT) is None
    assert upstream.status().state == "ok"
    assert upstream.status().errors == 0


async def test_a_list_cut_short_is_not_taken_for_none(world: World) -> None:
    push_image(world.hub)
    world.hub.faults.add(Fault(route="referrers", kind="truncate"))
    with pytest.raises(UpstreamInvalid):
        await world.upstream().list_referrers(NAME, SUBJECT)


async def test_tags_are_values(world: World) -> None:
    push_tags(world.hub, 0)
    page(world.hub, ["latest", "not a tag", "latest"])
    assert await world.upstream().list_tags(NAME) == (Tag("latest"), Tag("latest"))
