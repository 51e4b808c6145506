"""T28. What clients send to prove who they are is forgotten as soon as it was read.

dockerd offers its user's Docker Hub password to a mirror; nothing of it may stay or travel on.
"""

import base64
import itertools
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirror.api.access_log import as_json, as_text
from tests.api.site import BLOB, NAME, TAGGED, Site, blob_path, running_site
from tests.api.wire import exchanged, request
from tests.simulated_hub import SimulatedHub, blob

SECRET = "s3cr3t-of-the-user"
BASIC = base64.b64encode(f"someone:{SECRET}".encode()).decode()
TRACES = [SECRET.encode(), BASIC.encode(), base64.b64encode(SECRET.encode()).rstrip(b"=")]
HEADERS = [
    f"Authorization: Basic {BASIC}",
    f"Authorization: Bearer {SECRET}",
    f"Proxy-Authorization: Basic {BASIC}",
    f"Cookie: session={SECRET}",
    f"X-Registry-Auth: {SECRET}",
    f"X-Meta: {SECRET}",
]
QUERIES = ["", f"?token={SECRET}", f"?account=a&ns=docker.io&access_token={SECRET}"]
METHODS = ("GET", "HEAD", "GET", "PUT")
TARGETS = [
    *("/v2/", TAGGED, BLOB, f"/v2/{NAME}/manifests/absent", f"/v2/{NAME}/blobs/sha256:{'0' * 64}"),
    *("/v2/UPPER/x/manifests/1", "/nowhere", "/v2/ghcr.io/a/b/manifests/1", "/api/v1/stats"),
]
WITH_QUERIES = list(zip(TARGETS, itertools.cycle(QUERIES), strict=False))


@pytest.fixture
def all_logs(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything anybody logs, down to the last detail."""
    with caplog.at_level(logging.DEBUG):
        yield caplog


def traces_in(content: bytes) -> list[bytes]:
    return [trace for trace in TRACES if trace in content]


def check_logs(site: Site, logs: pytest.LogCaptureFixture) -> None:
    assert traces_in(logs.text.encode()) == []
    for line in site.mirror.lines:
        assert traces_in(as_json(line).encode() + as_text(line).encode()) == []


def check_hub(hub: SimulatedHub) -> None:
    for asked in hub.requests:
        sent = f"{asked.target} {dict(asked.headers)}".encode() + asked.body
        assert traces_in(sent) == []


def check_files(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 3
    for path in files:
        assert traces_in(path.read_bytes()) == [], path


async def test_what_a_client_sends_is_found_nowhere(
    site: Site, all_logs: pytest.LogCaptureFixture
) -> None:
    received = b""
    for header, (target, query) in itertools.product(HEADERS, WITH_QUERIES):
        # The second GET may be prepared.
        asked = [request(target + query, header, method=each) for each in METHODS]
        received += (await exchanged(site.port, *asked))[0]
    for target in ("/api/v1/stats", "/api/v1/images", "/metrics"):
        received += (await site.ask(target)).body
    assert traces_in(received) == []
    check_hub(site.hub)
    check_logs(site, all_logs)
    check_files(site.mirror.data)


@pytest.mark.parametrize(
    "data",
    [
        request("/v2/", f"Authorization: Basic {BASIC}", "Host: twice"),
        request("/v2/", f"Authorization: {SECRET}\x01"),
        f"GET /{SECRET} nonsense\r\n\r\n".encode(),
        f"{SECRET} /v2/ HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
        f"GET /v2/ HTTP/1.1\r\nHost: a\r\n{SECRET}\r\n\r\n".encode(),
        request(f"http://user:{SECRET}@mirror{TAGGED}"),
        request(TAGGED, "Content-Length: 30", method="PUT") + SECRET.encode(),
    ],
)
async def test_what_is_malformed_is_not_quoted(
    site: Site, all_logs: pytest.LogCaptureFixture, data: bytes
) -> None:
    received, _ = await exchanged(site.port, data)
    assert traces_in(received) == []
    check_hub(site.hub)
    check_logs(site, all_logs)
    check_files(site.mirror.data)


async def test_our_own_login_stays_between_us_and_the_upstream(
    tmp_path: Path, all_logs: pytest.LogCaptureFixture
) -> None:
    """Also when the upstream refuses it, or says it back to us."""
    async with SimulatedHub(users={"someone": SECRET}) as hub:
        login = f"credentials: {{username: someone, password: {SECRET}}}"
        upstream = f'{{url: "{hub.url}", realms: ["{hub.token_host}"], {login}}}'
        environ = {"MIRROR__UPSTREAMS": f"{{docker.io: {upstream}}}"}
        async with running_site(tmp_path / "data", hub, environ) as site:
            hub.make_private(NAME, "someone")
            received = (await site.ask(TAGGED)).body
            assert hub.find("token")[0].authorization == f"Basic {BASIC}"
            hub.tokens.users.clear()
            hub.revoke_tokens()
            content = blob("more", 100)
            hub.push_blob(NAME, content)
            for target in (blob_path(content), f"{TAGGED}x", "/api/v1/stats", "/metrics"):
                answer = await site.ask(target)
                received += answer.head + answer.body
            assert traces_in(received) == []
            check_logs(site, all_logs)
            check_files(site.mirror.data)
