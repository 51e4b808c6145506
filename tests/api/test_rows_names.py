"""Edge cases of pulling, by their row in the table the protocol was designed from: 1 to 15.

Every row has a test named after its number: 1 to 15 (names and paths) are here, 16 to 36 in
`test_rows_manifests`, 37 to 51 in `test_rows_blobs`, 52 to 60 in `test_rows_upstream` and 61 to 75
in `test_rows_protocol`. Rows 22, 32 to 35 and 64 to 67 concern pushing and are held in
`test_hosting*` and `test_uploads*`. Most rows are also held in depth elsewhere; here each of
pulling can be found.
"""

from pathlib import Path

import pytest

from tests.api.site import BY_DIGEST, INDEX, NAME, TAGGED, Site, manifest_path, running_site
from tests.api.wire import Answer, connected, request
from tests.simulated_hub import SimulatedHub

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEX = "0123456789abcdef" * 4
LONGEST = "/".join(["abcde"] * 41 + ["abcdefghi"])


async def refused(site: Site, path: str, *, quietly: bool = True) -> Answer:
    """A GET that finds nothing, and of which the upstream hears nothing."""
    before = len(site.hub.requests)
    answer = await site.ask(path)
    assert answer.status in (400, 404)
    assert answer.errors
    assert not quietly or len(site.hub.requests) == before
    return answer


async def test_row_1_the_base_path_without_its_slash(held: Site) -> None:
    with_slash, without = await held.ask("/v2/"), await held.ask("/v2")
    assert with_slash.status == 200
    assert with_slash.lasting == without.lasting


@pytest.mark.parametrize("path", ["/v1/_ping", "/v1/search?q=nginx", "/v1/users/"])
async def test_row_2_the_first_version_is_not_here(held: Site, path: str) -> None:
    assert (await refused(held, path)).status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/v2//manifests/1",
        "//v2/",
        f"//v2/{NAME}/manifests/1",
        "/v2/library//nginx/manifests/1",
        "/v2//nginx/manifests/1",
        "/v2/nginx//manifests/1",
    ],
)
async def test_row_3_an_empty_component_is_not_overlooked(held: Site, path: str) -> None:
    await refused(held, path)


@pytest.mark.parametrize("name", ["Library/Nginx", "library/Nginx", "LIBRARY/nginx"])
async def test_row_4_upper_case_is_another_name_and_none(held: Site, name: str) -> None:
    answer = await refused(held, f"/v2/{name}/manifests/1")
    assert (answer.status, answer.code) == (400, "NAME_INVALID")


async def test_row_5_an_encoded_slash_is_decoded_once(held: Site) -> None:
    assert (await held.ask("/v2/library%2Fnginx/manifests/1")).body == INDEX.content
    assert (await held.ask("/v2/library%2fnginx/manifests/1")).body == INDEX.content
    twice = await refused(held, "/v2/library%252Fnginx/manifests/1")
    assert (twice.status, twice.code) == (400, "NAME_INVALID")


@pytest.mark.parametrize(
    "hostile",
    [
        "..",
        "%2e%2e",
        ".",
        "%00",
        "%5c",
        "%e2%81%84",
        "..%2f..",
        "a%00b",
        "%2e",
        "a%0ab",
        "-a",
        "a_",
    ],
)
async def test_row_6_no_name_leads_out(held: Site, hostile: str) -> None:
    before = set(held.mirror.data.rglob("*"))
    for path in (
        f"/v2/{hostile}/nginx/manifests/1",
        f"/v2/library/{hostile}/manifests/1",
        f"/v2/library/{hostile}/blobs/{INDEX.digest}",
        f"/v2/{NAME}/blobs/{hostile}",
    ):
        await refused(held, path)
    if hostile != "a_":
        await refused(held, f"/v2/{NAME}/manifests/{hostile}")
    assert set(held.mirror.data.rglob("*")) == before


async def test_row_7_a_digest_with_an_encoded_colon(held: Site) -> None:
    encoded = BY_DIGEST.replace("sha256:", "sha256%3A")
    assert (await held.ask(encoded)).lasting == (await held.ask(BY_DIGEST)).lasting
    assert (await held.ask(encoded.replace("%3A", "%3a"))).body == INDEX.content


async def test_row_8_the_longest_name(held: Site) -> None:
    assert len(LONGEST) == 255
    held.hub.push(LONGEST, "1", INDEX)
    assert (await held.ask(f"/v2/{LONGEST}/manifests/1?ns=docker.io")).body == INDEX.content
    answer = await refused(held, f"/v2/{LONGEST}x/manifests/1?ns=docker.io")
    assert (answer.status, answer.code) == (400, "NAME_INVALID")


@pytest.mark.parametrize(
    "name", ["foo/manifests", "manifests/foo", "blobs/uploads", "tags/list", "foo/referrers"]
)
async def test_row_9_names_may_hold_the_words_of_the_path(held: Site, name: str) -> None:
    held.hub.push(name, "1", INDEX)
    for path in (manifest_path("1", name), manifest_path(INDEX, name)):
        assert (await held.ask(path)).body == INDEX.content


async def test_row_10_the_longest_tag(held: Site) -> None:
    longest = "_" + "A.b-" * 31 + "xyz"
    assert len(longest) == 128
    held.hub.push(NAME, longest, INDEX)
    assert (await held.ask(manifest_path(longest))).body == INDEX.content
    for reference in (f"{longest}x", ".INVALID_MANIFEST_NAME"):
        # The first to ask: what the upstream did not have it is not asked for again.
        assert (await refused(held, manifest_path(reference))).code == "MANIFEST_UNKNOWN"
        for method in ("GET", "HEAD"):
            answer = await held.ask(manifest_path(reference), method=method)
            assert answer.status == 404


@pytest.mark.parametrize(
    "digest",
    [
        f"sha256:{HEX.upper()}",
        f"sha256:{HEX[:-1]}",
        f"sha256:{HEX}0",
        f"SHA256:{HEX}",
        f"blake3:{HEX}",
        f"md5:{HEX[:32]}",
        f"sha512:{HEX}",
        "sha256:",
        f":{HEX}",
    ],
)
async def test_row_11_a_digest_that_cannot_be(held: Site, digest: str) -> None:
    for kind in ("manifests", "blobs"):
        assert (await refused(held, f"/v2/{NAME}/{kind}/{digest}")).code == "DIGEST_INVALID"


async def test_row_12_a_name_of_64_hexadecimal_digits(held: Site) -> None:
    held.hub.push(f"library/{HEX}", "1", INDEX)
    assert (await held.ask(f"/v2/{HEX}/manifests/1")).body == INDEX.content
    assert (await held.ask(f"/v2/library/{HEX}/manifests/1")).body == INDEX.content


async def test_row_13_an_upstream_named_in_the_path(held: Site) -> None:
    for path in (
        f"/v2/docker.io/{NAME}/manifests/1",
        "/v2/docker.io/nginx/manifests/1",
        f"/v2/docker.io/{NAME}/manifests/1?ns=docker.io",
    ):
        assert (await held.ask(path)).body == INDEX.content
    for path in (f"/v2/docker.io/{NAME}/manifests/1?ns=ghcr.io", "/v2/ghcr.io/a/b/manifests/1"):
        assert (await refused(held, path)).status == 404


@pytest.mark.parametrize(
    "query",
    [
        *("?ns=ghcr.io", "?ns=127.0.0.1", "?ns=169.254.169.254", "?ns=docker.io:443", "?ns="),
        *(
            "?ns=docker.io&ns=docker.io",
            "?ns=docker.io&ns=ghcr.io",
            "?ns=docker.io%2F..",
            "?ns=%00",
        ),
    ],
)
async def test_row_14_a_namespace_that_is_none_of_ours(held: Site, query: str) -> None:
    answer = await refused(held, TAGGED + query)
    assert (answer.status, answer.code) == (404, "NAME_UNKNOWN")


@pytest.mark.asyncio(loop_scope="function")
async def test_row_14_our_own_host_leads_nowhere_else(tmp_path: Path, hub: SimulatedHub) -> None:
    environ = {"MIRROR__PUBLIC_URL": "https://mirror.example"}
    async with running_site(tmp_path, hub, environ) as site:
        answer = await refused(site, f"{TAGGED}?ns=mirror.example")
        assert (answer.status, answer.code) == (404, "NAME_UNKNOWN")


async def test_row_15_methods_and_paths_that_do_not_exist(held: Site) -> None:
    async with connected(held.port) as line:
        wrong_method = await line.ask(request(TAGGED, method="PATCH"))
        assert (wrong_method.status, wrong_method.code) == (405, "UNSUPPORTED")
        assert wrong_method["Allow"] == "GET, HEAD"
        wrong_path = await line.ask(request(f"/v2/{NAME}/nothing"))
        assert (wrong_path.status, wrong_path.code) == (404, "NAME_UNKNOWN")
