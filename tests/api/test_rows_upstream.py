"""Edge cases of pulling, by their row (see `test_rows_names`): 52 to 60, the upstream."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.api.cache_status import parse_cache_status, parse_warning
from tests.api.site import (
    BLOB,
    BY_DIGEST,
    IMAGE,
    INDEX,
    LAYER,
    NAME,
    SMALL,
    TAGGED,
    Site,
    blob_path,
    manifest_path,
    running_site,
)
from tests.simulated_hub import Fault, Quota, Redirects, SimulatedHub, make_image

HOUR = timedelta(hours=1)
DIRECT = f"/v2/docker.io/{NAME}/manifests/1"


async def test_row_52_what_is_private_or_missing(site: Site) -> None:
    """dockerd would answer a challenge of its mirror with its user's password."""
    site.hub.make_private(NAME, "somebody")
    for path in (TAGGED, BY_DIGEST, BLOB, "/v2/library/missing/manifests/1", DIRECT):
        for method in ("GET", "HEAD"):
            answer = await site.ask(path, method=method)
            assert answer.status == 404
            assert answer.get("WWW-Authenticate") is None


async def test_row_53_a_login_that_is_wrong(tmp_path: Path) -> None:
    """What is public is served all the same, and the token server is not asked again and again."""
    async with SimulatedHub(users={"someone": "right"}) as hub:
        login = "credentials: {username: someone, password: wrong}"
        upstream = f'{{url: "{hub.url}", realms: ["{hub.token_host}"], {login}}}'
        environ = {"MIRROR__UPSTREAMS": f"{{docker.io: {upstream}}}"}
        async with running_site(tmp_path, hub, environ) as site:
            assert (await site.ask(TAGGED)).body == INDEX.content
            for content in (SMALL, LAYER):
                assert (await site.ask(blob_path(content))).body == content
            # Of another repository, so with another token.
            hub.push("library/redis", "1", INDEX)
            assert (await site.ask("/v2/library/redis/manifests/1")).body == INDEX.content
        with_login = [asked for asked in hub.find("token") if asked.authorization is not None]
    assert len(with_login) == 1


async def test_row_54_a_token_that_ends_in_the_middle(site: Site) -> None:
    assert (await site.ask(TAGGED)).status == 200
    site.hub.revoke_tokens()
    assert (await site.ask(manifest_path(IMAGE))).body == IMAGE.content
    site.hub.revoke_tokens()
    assert (await site.ask(BLOB)).body == LAYER


async def test_row_55_out_of_pulls(site: Site) -> None:
    await site.pull()
    site.hub.move_tag(NAME, "1", make_image(layers=[SMALL]))
    site.hub.quota = Quota(remaining=0, retry_after=3600)
    site.mirror.clock.advance(HOUR)
    stale = await site.ask(TAGGED)
    assert (stale.status, stale.body) == (200, INDEX.content)
    assert parse_cache_status(stale["Cache-Status"]).is_hit
    assert parse_warning(stale["Warning"])

    site.hub.push(NAME, "2", make_image(layers=[SMALL]))
    cold = await site.ask(manifest_path("2"))
    assert (cold.status, cold.code) == (404, "MANIFEST_UNKNOWN")
    direct = await site.ask(f"/v2/docker.io/{NAME}/manifests/2")
    assert (direct.status, direct.code) == (429, "TOOMANYREQUESTS")
    assert int(direct["Retry-After"]) > 0


async def test_row_55_told_to_wait_and_not_for_how_long(site: Site) -> None:
    """The first who asks hears what everybody after it hears: when the upstream is asked again."""
    site.hub.faults.add(Fault(kind="status", route="manifest", status=429))
    for left in (60, 40):
        answer = await site.ask(f"/v2/docker.io/{NAME}/manifests/other")
        assert (answer.status, answer["Retry-After"]) == (429, str(left))
        site.mirror.clock.advance(timedelta(seconds=20))
    assert site.hub.count("manifest") == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504, None])
async def test_row_56_an_upstream_in_trouble(site: Site, status: int | None) -> None:
    """None: it is gone."""
    await site.pull()
    site.mirror.clock.advance(HOUR)
    if status is None:
        await site.hub.stop()
    else:
        site.hub.faults.add(Fault(kind="status", route="any", status=status, before_auth=True))
    stale = await site.ask(TAGGED)
    assert (stale.status, stale.body) == (200, INDEX.content)
    assert parse_warning(stale["Warning"])
    by_digest = await site.ask(BY_DIGEST)
    assert (by_digest.status, by_digest.get("Warning")) == (200, None)
    assert (await site.ask(f"/v2/docker.io/{NAME}/manifests/other")).status in (502, 503)


async def test_row_57_a_page_of_somebody_in_between(site: Site) -> None:
    portal = site.hub.faults.add(Fault(kind="html", route="any", before_auth=True))
    for path in (TAGGED, BY_DIGEST, BLOB):
        answer = await site.ask(path)
        assert answer.status == 404
        assert b"Wi-Fi" not in answer.body
    assert (await site.ask(DIRECT)).status in (502, 503)
    site.hub.faults.remove(portal)
    site.mirror.clock.advance(HOUR)
    assert (await site.ask(TAGGED)).body == INDEX.content
    assert (await site.ask(BLOB)).body == LAYER


async def test_row_58_manifests_that_are_kept_elsewhere(site: Site) -> None:
    site.hub.redirects = Redirects(manifests=307, blobs=302)
    assert (await site.ask(TAGGED)).body == INDEX.content
    assert (await site.ask(BLOB)).body == LAYER
    assert site.hub.find("cdn")
    assert all(asked.authorization is None for asked in site.hub.find("cdn"))


async def test_row_59_a_redirect_that_goes_round(site: Site) -> None:
    site.hub.faults.add(Fault(kind="redirect", route="manifest"))
    assert (await site.ask(TAGGED)).status == 404
    assert (await site.ask(DIRECT)).status == 502
    assert site.hub.count("manifest") < 30


async def test_row_59_a_redirect_to_where_nobody_should_go(site: Site) -> None:
    for location in ("http://169.254.169.254/x", "ftp://a/b", "file:///etc/passwd", "//", ""):
        fault = site.hub.faults.add(Fault(kind="redirect", route="blob", location=location))
        answer = await site.ask(BLOB)
        assert (answer.status, answer.code) == (404, "BLOB_UNKNOWN")
        assert b"root:" not in answer.body
        # Each for its own reason, and none because nobody answers there.
        assert any(word in answer.body for word in (b"not at a public address", b"redirect"))
        site.hub.faults.remove(fault)
        site.mirror.clock.advance(HOUR)


async def test_row_60_a_clock_that_is_set_back(site: Site) -> None:
    """A tag confirmed in what is now the future is not fresh until then."""
    assert (await site.ask(TAGGED)).status == 200
    site.mirror.clock.jump(-HOUR)
    moved = make_image(layers=[SMALL])
    site.hub.move_tag(NAME, "1", moved)
    assert (await site.ask(TAGGED)).body == moved.content
