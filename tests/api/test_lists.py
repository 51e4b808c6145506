"""Lists of tags and referrers over HTTP."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from mirror.oci.document import MANIFEST_LIMIT
from mirror.oci.media_type import OCI_INDEX, OCI_MANIFEST
from mirror.oci.page import parse_next_link
from tests.api.cache_status import parse_cache_status, parse_warning
from tests.api.site import IMAGE, NAME, TAGGED, Site, running_site
from tests.api.wire import Answer
from tests.simulated_hub import Fault, SimulatedHub
from tests.world import running_mirror

TAGS = f"/v2/{NAME}/tags/list"
REFERRERS = f"/v2/{NAME}/referrers/{IMAGE.digest}"
HOUR = timedelta(hours=1)
NAMES = ["1", "a", "b", "c", "d"]
PAGES = ["", "?n=2", "?n=2&last=a", "?n=0", "?last=zzz", "?n=&last=", "?n=99999999999999999999"]


@pytest.fixture
async def site(tmp_path: Path, hub: SimulatedHub) -> AsyncIterator[Site]:
    async with running_site(tmp_path / "data", hub) as site:
        for name in NAMES[:0:-1]:
            hub.push(NAME, name, IMAGE)
        yield site


def push_referrer(hub: SimulatedHub, kind: str, text: str) -> str:
    content = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": kind,
            "config": {"mediaType": kind, "digest": IMAGE.digest, "size": 2},
            "layers": [],
            "subject": {"mediaType": OCI_MANIFEST, "digest": IMAGE.digest, "size": 1},
            "annotations": {"text": text},
        }
    ).encode()
    return hub.push_manifest(NAME, None, content, OCI_MANIFEST)


def tags(answer: Answer) -> list[str]:
    assert (answer.status, answer["Content-Type"]) == (200, "application/json")
    document = json.loads(answer.body)
    assert set(document) == {"name", "tags"}
    return list(document["tags"])


def referrers(answer: Answer) -> list[str]:
    assert (answer.status, answer["Content-Type"]) == (200, OCI_INDEX)
    document = json.loads(answer.body)
    assert set(document) == {"schemaVersion", "mediaType", "manifests"}
    assert (document["schemaVersion"], document["mediaType"]) == (2, OCI_INDEX)
    return [entry["digest"] for entry in document["manifests"]]


def next_target(answer: Answer) -> str | None:
    link = answer.get("Link")
    return None if link is None else parse_next_link(link)


@pytest.mark.parametrize(
    ("query", "expected", "following"),
    [
        ("", NAMES, None),
        ("?n=2", ["1", "a"], "?n=2&last=a"),
        ("?n=2&last=a", ["b", "c"], "?n=2&last=c"),
        ("?n=2&last=c", ["d"], None),
        ("?n=5", NAMES, None),
        ("?n=0", [], None),
        ("?last=b", ["c", "d"], None),
        ("?last=bb&n=1", ["c"], "?n=1&last=c"),
        ("?n=&last=", NAMES, None),
        ("?n=100000", NAMES, None),
        ("?junk=1&n=4", NAMES[:4], "?n=4&last=c"),
        (f"?last={quote('d/../x')}", [], None),
    ],
)
async def test_tags_in_pages(
    site: Site, query: str, expected: list[str], following: str | None
) -> None:
    answer = await site.ask(TAGS + query)
    assert tags(answer) == expected
    assert next_target(answer) == (None if following is None else TAGS + following)


@pytest.mark.parametrize(
    "name",
    [
        NAME,
        "nginx",
        f"docker.io/{NAME}",
        "docker.io/nginx",
        f"{NAME}?ns=docker.io",
        "nginx?ns=docker.io",
    ],
)
async def test_the_repository_keeps_the_name_it_was_asked_by(site: Site, name: str) -> None:
    """And so does the link, whichever way the registry was named."""
    name, _, query = name.partition("?")
    found: list[str] = []
    target: str | None = f"/v2/{name}/tags/list?n=2{'&' if query else ''}{query}"
    while target is not None:
        answer = await site.ask(target)
        assert json.loads(answer.body)["name"] == name
        assert answer.get("OCI-Namespace") == ("docker.io" if query else None)
        found += tags(answer)
        target = next_target(answer)
        if target is not None:
            assert target.startswith(f"/v2/{name}/tags/list?n=2&last=")
            assert target.endswith(query)
    assert found == NAMES
    assert site.hub.count("tags", status=200) == 1
    assert site.hub.find("tags", status=200)[0].name == NAME


async def test_a_prefix_with_a_port_stays_in_the_link(tmp_path: Path, hub: SimulatedHub) -> None:
    for tag in NAMES:
        hub.push("team/app", tag, IMAGE)
    upstreams = f'{{"localhost:5001": {{url: "{hub.url}", realms: ["{hub.token_host}"]}}}}'
    async with running_mirror(tmp_path, None, {"MIRROR__UPSTREAMS": upstreams}) as mirror:
        path = "/v2/localhost:5001/team/app/tags/list"
        reply = await mirror.get(f"{path}?n=1")
        assert parse_next_link(reply.headers["Link"]) == f"{path}?n=1&last=1"


@pytest.mark.parametrize("n", ["-1", "x", "1.5", "0x10", "1e3", "%20", "%D9%A3", "%00", "+1"])
async def test_a_number_that_is_none(site: Site, n: str) -> None:
    answer = await site.ask(f"{TAGS}?n={n}")
    assert (answer.status, answer.code) == (400, "PAGINATION_NUMBER_INVALID")
    assert site.hub.requests == []


async def test_a_page_has_a_largest_size(site: Site) -> None:
    repository = site.hub.repositories.by_name[NAME]
    digest = repository.tags["1"]
    repository.tags.update({f"t{number:05}": digest for number in range(10_001)})
    answer = await site.ask(f"{TAGS}?n=1000000")
    assert len(tags(answer)) == 10_000
    target = next_target(answer)
    assert target is not None
    rest = await site.ask(target)
    assert len(tags(rest)) == 10_006 - 10_000
    assert len(tags(await site.ask(TAGS))) == 10_006


async def prepare_referrers(site: Site) -> list[str]:
    return [push_referrer(site.hub, "x/signature", "é"), push_referrer(site.hub, "x/sbom", "b")]


async def test_referrers_and_their_filter(site: Site) -> None:
    signature, sbom = await prepare_referrers(site)
    whole = await site.ask(REFERRERS)
    assert referrers(whole) == [signature, sbom]
    assert whole.get("OCI-Filters-Applied") is None
    for query, expected in (("x/sbom", [sbom]), ("x%2Fsignature", [signature]), ("x", [])):
        answer = await site.ask(f"{REFERRERS}?artifactType={query}")
        assert referrers(answer) == expected
        assert answer["OCI-Filters-Applied"] == "artifactType"
    assert (await site.ask(f"{REFERRERS}?artifactType=")).get("OCI-Filters-Applied") is None
    assert site.hub.count("referrers", status=200) == 1


async def test_pages_of_the_upstream_become_pages_of_ours(site: Site) -> None:
    """Together they are more than clients take at once."""
    digests = [f"sha256:{number:064}" for number in range(6)]
    for number in (3, 0):
        link = ("Link", f'<{site.hub.url}/elsewhere?page={number}>; rel="next"')
        listed = _listing(digests[number : number + 3])
        headers = (("Content-Type", OCI_INDEX), *((link,) if number else ()))
        site.hub.faults.add(
            Fault(
                route="referrers", kind="status", status=200, body=listed, headers=headers, times=1
            )
        )
    found: list[str] = []
    target: str | None = f"{REFERRERS}?artifactType=x%2Fnote&ns=docker.io"
    while target is not None:
        assert target.startswith(f"{REFERRERS}?")
        answer = await site.ask(target)
        assert len(answer.body) < MANIFEST_LIMIT
        assert answer["OCI-Filters-Applied"] == "artifactType"
        assert answer["OCI-Namespace"] == "docker.io"
        found += referrers(answer)
        target = next_target(answer)
    assert found == digests
    assert site.hub.count("referrers") == 2


def _listing(digests: Sequence[str]) -> bytes:
    """A list of a megabyte for each."""
    entries = [
        {
            "mediaType": OCI_MANIFEST,
            "digest": digest,
            "size": 7,
            "artifactType": "x/note",
            "annotations": {"a": "a" * 1_000_000},
        }
        for digest in digests
    ]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    return json.dumps(index).encode()


async def test_descriptors_of_referrers_are_passed_on_whole(site: Site) -> None:
    push_referrer(site.hub, "x/signature", "é")
    entry = {
        "mediaType": OCI_MANIFEST,
        "digest": IMAGE.digest,
        "size": 7,
        "artifactType": "x",
        "annotations": {"a": "é"},
        "data": "e30=",
        "more": [1, None],
    }
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()
    kind = ("Content-Type", OCI_INDEX)
    site.hub.faults.add(
        Fault(route="referrers", kind="status", status=200, body=body, headers=(kind,))
    )
    answer = await site.ask(f"{REFERRERS}?ns=docker.io")
    assert json.loads(answer.body)["manifests"] == [entry]
    assert answer["OCI-Namespace"] == "docker.io"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(route="referrers", kind="status", status=404),
        Fault(route="referrers", kind="html"),
        Fault(route="referrers", kind="redirect", location="https://packages.example/login"),
    ],
    ids=lambda fault: fault.kind,
)
@pytest.mark.parametrize("prefix", ["", "docker.io/"])
async def test_without_referrers_upstream_clients_are_sent_to_the_fallback_tag(
    site: Site, fault: Fault, prefix: str
) -> None:
    site.hub.faults.add(fault)
    fallback = IMAGE.digest.replace(":", "-")
    site.hub.push(NAME, fallback, IMAGE)
    answer = await site.ask(f"/v2/{prefix}{NAME}/referrers/{IMAGE.digest}")
    assert (answer.status, answer.code) == (404, "MANIFEST_UNKNOWN")
    assert (await site.ask(f"/v2/{prefix}{NAME}/manifests/{fallback}")).status == 200


@pytest.mark.parametrize(
    "path", [*(TAGS + page for page in PAGES), REFERRERS, f"{REFERRERS}?artifactType=x"]
)
async def test_a_head_says_what_a_get_says(site: Site, path: str) -> None:
    await site.ask(TAGS)
    await site.ask(REFERRERS)
    head, get = await site.ask(path, method="HEAD"), await site.ask(path)
    assert (head.status, head.body) == (200, b"")
    assert replace(get, body=b"").lasting == head.lasting
    assert get["Content-Length"] == str(len(get.body))
    assert get["Docker-Distribution-Api-Version"] == "registry/2.0"


@pytest.mark.parametrize("path", [TAGS, REFERRERS])
async def test_what_the_cache_did_is_told_and_counted(site: Site, path: str) -> None:
    answers = [await site.ask(path)]
    site.mirror.clock.advance(timedelta(seconds=20))
    answers.append(await site.ask(path))
    site.mirror.clock.advance(HOUR)
    await site.hub.stop()
    answers.append(await site.ask(path))
    miss, hit, stale = (parse_cache_status(answer["Cache-Status"]) for answer in answers)
    assert (miss.forwarded, miss.parameters["ttl"]) == ("miss", 60)
    assert (hit.is_hit, hit.parameters["ttl"]) == (True, 40)
    assert stale.is_hit
    assert "confirmed 1 hour ago" in str(stale.parameters["detail"])
    assert [answer.get("Warning") for answer in answers[:2]] == [None, None]
    assert "confirmed 1 hour ago" in parse_warning(answers[2]["Warning"])
    assert answers[0].body == answers[1].body == answers[2].body
    stats = json.loads((await site.ask("/api/v1/stats")).body)["requests"]
    assert {name: count for name, count in stats.items() if count} == {
        "miss": 1,
        "hit": 1,
        "stale": 1,
    }


async def test_without_upstream_what_was_pulled_is_listed(site: Site) -> None:
    await site.pull()
    assert (await site.ask(f"/v2/{NAME}/manifests/c")).status == 200
    await site.hub.stop()
    for path in (TAGS, f"/v2/docker.io/{NAME}/tags/list"):
        answer = await site.ask(path)
        assert tags(answer) == ["1", "c"]
        assert "only the tags that are held here" in parse_warning(answer["Warning"])
    assert (await site.ask(TAGGED)).status == 200


async def test_after_a_restart_offline_what_was_pulled_is_listed(
    tmp_path: Path, hub: SimulatedHub
) -> None:
    async with running_site(tmp_path / "data", hub) as site:
        await site.pull()
    before = len(hub.requests)
    async with running_site(tmp_path / "data", hub, {"MIRROR__OFFLINE": "true"}) as site:
        answer = await site.ask(TAGS)
        assert tags(answer) == ["1"]
        assert "offline" in parse_warning(answer["Warning"])
        assert (await site.ask(REFERRERS)).code == "MANIFEST_UNKNOWN"
        assert (await site.ask("/v2/library/redis/tags/list")).code == "NAME_UNKNOWN"
    assert len(hub.requests) == before


async def test_after_a_restart_offline_the_referrers_that_were_pulled_are_listed(
    tmp_path: Path, hub: SimulatedHub
) -> None:
    async with running_site(tmp_path / "data", hub) as site:
        signature, sbom = await prepare_referrers(site)
        assert (await site.ask(f"/v2/{NAME}/manifests/{signature}")).status == 200
    async with running_site(tmp_path / "data", hub, {"MIRROR__OFFLINE": "true"}) as site:
        answer = await site.ask(REFERRERS)
        assert referrers(answer) == [signature]
        assert json.loads(answer.body)["manifests"][0]["annotations"] == {"text": "é"}
        assert "only the referrers that are held here" in parse_warning(answer["Warning"])
    assert sbom != signature


@pytest.mark.parametrize(
    ("fault", "mirrored", "direct"),
    [
        (Fault(kind="status", status=500), 404, 502),
        (Fault(kind="status", status=429, retry_after=17), 404, 429),
        (Fault(kind="status", status=403), 404, 404),
        (Fault(kind="close"), 404, 503),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else str(value),
)
@pytest.mark.parametrize("what", ["tags/list", f"referrers/{IMAGE.digest}"])
async def test_trouble_is_told_by_the_way_the_client_came(
    site: Site, what: str, fault: Fault, mirrored: int, direct: int
) -> None:
    site.hub.faults.add(fault)
    for name, status in ((f"docker.io/{NAME}", direct), (NAME, mirrored)):
        answer = await site.ask(f"/v2/{name}/{what}")
        assert answer.status == status
        assert answer.errors
        assert answer.get("WWW-Authenticate") is None
        assert (answer.get("Retry-After") is not None) == (status in (429, 503))


async def test_a_private_repository_is_not_there(site: Site) -> None:
    site.hub.make_private(NAME, "somebody")
    answer = await site.ask(TAGS)
    assert (answer.status, answer.code) == (404, "NAME_UNKNOWN")
    assert answer.get("WWW-Authenticate") is None


async def test_names_that_the_operator_keeps_out_are_not_listed(
    tmp_path: Path, hub: SimulatedHub
) -> None:
    settings = f'{{docker.io: {{url: "{hub.url}", default: true, deny: ["library/nginx"]}}}}'
    async with running_site(tmp_path, hub, {"MIRROR__UPSTREAMS": settings}) as site:
        for path in (TAGS, REFERRERS, "/v2/nginx/tags/list"):
            assert (await site.ask(path)).code == "DENIED"
    assert hub.requests == []
