"""The same name here and upstream: who answers, and that the hub hears nothing of what is ours."""

import json
from pathlib import Path

import pytest

from tests.api.pushing import Pusher
from tests.api.site import IMAGE, INDEX, Site, running_site
from tests.simulated_hub import SimulatedHub, blob, make_image

MINE = make_image(layers=[blob("mine", 2_000)])
INDEX_TYPE = INDEX.media_type


@pytest.mark.parametrize("name", ["nginx", "team/group/app", "local/app"])
async def test_a_hosted_name_never_consults_an_upstream(site: Site, name: str) -> None:
    for planted in (name, f"library/{name}"):
        site.hub.push(planted, "latest", INDEX)
        site.hub.push(planted, "theirs", INDEX)
    pusher = Pusher(site.mirror, name)
    await pusher.push("latest", MINE)

    assert (await pusher.get("manifests/latest")).body == MINE.content
    for path in ("manifests/theirs", f"manifests/{INDEX.digest}", f"blobs/{IMAGE.layers[0]}"):
        assert (await pusher.get(path)).status == 404
        assert (await pusher.head(path)).status == 404
    assert json.loads((await pusher.get("tags/list")).body)["tags"] == ["latest"]
    referrers = await pusher.get(f"referrers/{INDEX.digest}")
    assert (referrers.status, json.loads(referrers.body)["manifests"]) == (200, [])
    await pusher.delete("manifests/latest")
    assert (await pusher.get("manifests/latest")).status == 404

    assert site.hub.requests == []


@pytest.mark.parametrize("name", ["team/group/app", "local/app"])
async def test_an_unknown_name_that_can_only_be_hosted_asks_nobody(site: Site, name: str) -> None:
    pusher = Pusher(site.mirror, name)
    for path in ("manifests/latest", "tags/list", f"blobs/{IMAGE.config}"):
        assert (await pusher.get(path)).status == 404
    assert site.hub.requests == []


async def test_a_pull_of_what_is_not_hosted_here_falls_to_the_hub(site: Site) -> None:
    pusher = Pusher(site.mirror, "nginx")
    assert (await pusher.get("manifests/1")).body == INDEX.content

    await pusher.push("1", MINE)
    assert (await pusher.get("manifests/1")).body == MINE.content
    assert (await site.mirror.get("/v2/library/nginx/manifests/1")).body == INDEX.content

    await pusher.delete(f"manifests/{MINE.digest}")
    assert (await pusher.get("manifests/1")).body == INDEX.content


async def test_docker_tag_and_push_of_what_was_pulled(site: Site) -> None:
    """docker asks for each layer by HEAD, and sends only those it is not told are there."""
    pusher = Pusher(site.mirror, "nginx")
    for digest in IMAGE.blobs:
        assert (await pusher.head(f"blobs/{digest}")).status == 404
    assert site.hub.requests == []
    await site.pull()
    for digest in IMAGE.blobs:
        assert (await pusher.head(f"blobs/{digest}")).status == 200
    asked = len(site.hub.requests)

    reply = await pusher.put("mine", IMAGE)

    assert reply.status == 201
    assert (await pusher.get("manifests/mine")).body == IMAGE.content
    for digest, content in IMAGE.blobs.items():
        assert (await pusher.get(f"blobs/{digest}")).body == content
    assert len(site.hub.requests) == asked


async def test_containerd_is_not_told_that_what_is_upstream_is_here(site: Site) -> None:
    """It pushes nothing that a HEAD finds; who resolves a name accepts every type."""
    pusher = Pusher(site.mirror, "nginx")
    accepted = {"Accept": f"{INDEX_TYPE}, */*"}
    for reference in ("1", INDEX.digest):
        assert (await pusher.head(f"manifests/{reference}", accepted)).status == 404
        everything = {"Accept": f"{INDEX_TYPE}, {IMAGE.media_type}, */*"}
        assert (await pusher.head(f"manifests/{reference}", everything)).status == 200
        assert (await pusher.head(f"manifests/{reference}", accepted)).status == 404
        assert (await pusher.get(f"manifests/{reference}", accepted)).status == 200

    await pusher.push("1", INDEX)
    for reference in ("1", INDEX.digest):
        assert (await pusher.head(f"manifests/{reference}", accepted)).status == 200


@pytest.mark.parametrize(
    ("agent", "by_tag", "by_digest"),
    [
        ("crane/v0.22.1 go-containerregistry/v0.22.1", 404, 404),
        ("oras/1.2.0", 200, 404),
        ("oras-go", 200, 404),
        ("docker/28.2.2 go/go1.24", 200, 200),
    ],
)
async def test_who_pushes_nothing_that_a_head_finds_is_told_what_is_here(
    site: Site, agent: str, by_tag: int, by_digest: int
) -> None:
    """Whether they are about to push or to pull, these accept every type."""
    pusher = Pusher(site.mirror, "nginx")
    asking = {"Accept": f"{INDEX_TYPE},{IMAGE.media_type}", "User-Agent": agent}
    for _ in range(2):
        assert (await pusher.head("manifests/1", asking)).status == by_tag
        assert (await pusher.head(f"manifests/{INDEX.digest}", asking)).status == by_digest
        assert (await pusher.get("manifests/1", asking)).status == 200
        assert (await pusher.get(f"manifests/{INDEX.digest}", asking)).status == 200
    everywhere = Pusher(site.mirror, "library/nginx")
    assert (await everywhere.head(f"manifests/{INDEX.digest}", asking)).status == 200

    await pusher.push("1", INDEX)
    for reference in ("1", INDEX.digest):
        assert (await pusher.head(f"manifests/{reference}", asking)).status == 200


async def test_what_the_operator_keeps_out_can_be_hosted(tmp_path: Path, hub: SimulatedHub) -> None:
    upstream = f'{{url: "{hub.url}", realms: ["{hub.token_host}"], default: true, deny: ["**"]}}'
    more = {"MIRROR__UPSTREAMS": f"{{docker.io: {upstream}}}"}
    async with running_site(tmp_path / "data", hub, more) as site:
        pusher = Pusher(site.mirror, "nginx")
        assert (await pusher.get("manifests/1")).status == 403
        assert (await pusher.head("manifests/1", {"Accept": f"{INDEX_TYPE}, */*"})).status == 404

        await pusher.push("1", MINE)

        assert (await pusher.get("manifests/1")).body == MINE.content
        assert hub.requests == []


async def test_our_own_host_as_ns(tmp_path: Path, hub: SimulatedHub) -> None:
    """A name that alone would lead to the hub; and the answer leads back to where it was put."""
    environ = {"MIRROR__PUBLIC_URL": "https://mirror.example"}
    async with running_site(tmp_path / "data", hub, environ) as site:
        pusher = Pusher(site.mirror, "library/nginx")
        content = b'{"schemaVersion":2,"manifests":[]}'
        headers = {"Content-Type": INDEX_TYPE}
        path = "manifests/1?ns=mirror.example"
        reply = await pusher.ask("PUT", path, content, headers)

        assert reply.status == 201
        assert reply.headers["Location"].endswith("?ns=mirror.example")
        assert (await site.mirror.get(reply.headers["Location"])).body == content
        assert hub.requests == []


async def test_a_restart_forgets_no_name(tmp_path: Path, hub: SimulatedHub) -> None:
    async with running_site(tmp_path / "data", hub) as site:
        await Pusher(site.mirror, "nginx").push("latest", MINE)
    async with running_site(tmp_path / "data", hub) as site:
        pusher = Pusher(site.mirror, "nginx")
        assert (await pusher.get("manifests/latest")).body == MINE.content
        assert (await pusher.get("manifests/1")).status == 404
    assert hub.requests == []
