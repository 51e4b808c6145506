"""Watching and steering the simulated hub: log, waiting, speed, going away, TLS, crowds."""

import asyncio
import contextlib
import json
import signal
import socket
import ssl
import sys

import aiohttp
import pytest
import trustme

from tests.simulated_hub import Canary, Fault, SimulatedHub, blob, make_image
from tests.simulated_hub.raw_client import hang_up, open_raw, raw_request

NAME = "library/hello"
LAYER = blob("layer", 50_000)
IMAGE = make_image(layers=[LAYER])
DIGEST = IMAGE.layers[0]
MANIFEST = f"/v2/{NAME}/manifests/1"
BLOB = f"/v2/{NAME}/blobs/{DIGEST}"


def open_hub(tls: ssl.SSLContext | None = None) -> SimulatedHub:
    hub = SimulatedHub(auth="none", tls=tls)
    hub.push(NAME, "1", IMAGE)
    return hub


async def test_every_request_is_in_the_log() -> None:
    async with open_hub() as hub:
        await raw_request(hub.host, MANIFEST + "?ns=docker.io&x=%2f", "HEAD", X_Odd="yes")
        await raw_request(hub.host, BLOB)
        await raw_request(hub.host, "/v2/a%2Fb/manifests/none")
        head, get, missing = hub.requests
        assert (head.method, head.route, head.name, head.reference) == (
            "HEAD",
            "manifest",
            NAME,
            "1",
        )
        assert (head.port_kind, head.status, head.digest, head.sent) == ("registry", 200, None, 0)
        assert (head.headers["x-odd"], head.query["ns"]) == ("yes", "docker.io")
        assert head.raw_query == "ns=docker.io&x=%2f"
        assert (get.route, get.digest, get.sent, get.completed) == ("blob", DIGEST, 50_000, True)
        assert (missing.path, missing.name) == ("/v2/a/b/manifests/none", "a/b")
        assert missing.target == "/v2/a%2Fb/manifests/none"
        assert head.arrived <= get.arrived <= missing.arrived


async def test_requests_are_counted_by_what_they_asked() -> None:
    async with open_hub() as hub:
        await raw_request(hub.host, MANIFEST, "HEAD")
        await raw_request(hub.host, MANIFEST)
        await raw_request(hub.host, f"/v2/{NAME}/manifests/none")
        await raw_request(hub.host, BLOB)
        assert hub.count() == 4
        assert hub.count("manifest") == hub.count(route="manifest", name=NAME) == 3
        assert hub.count("manifest", "GET", reference="1") == 1
        assert hub.count(status=404) == 1
        assert hub.count(digest=DIGEST) == 1
        assert hub.count(name="library/other") == 0


async def test_the_log_can_be_kept_short() -> None:
    async with open_hub() as hub:
        hub.log.keep = 2
        for _ in range(6):
            await raw_request(hub.host, "/v2/")
        assert 2 <= len(hub.requests) <= 4


async def test_open_requests_are_counted() -> None:
    async with open_hub() as hub:
        hub.faults.add(Fault(route="blob", kind="stall", at=10))
        asked = [asyncio.create_task(raw_request(hub.host, BLOB)) for _ in range(3)]
        await hub.wait_for(lambda: hub.stalled == 3)
        assert (hub.open_requests, hub.most_open_requests, hub.open_connections) == (3, 3, 3)
        assert [request.finished for request in hub.requests] == [False] * 3
        hub.release()
        assert {(await each).body for each in asked} == {LAYER}
        await hub.wait_for(lambda: hub.open_requests == 0 == hub.open_connections)
        assert (hub.most_open_requests, hub.connections) == (3, 3)


async def test_waiting_in_vain_says_what_came_instead() -> None:
    async with open_hub() as hub:
        await raw_request(hub.host, "/v2/")
        with pytest.raises(TimeoutError, match=r"GET /v2/ -> 200"):
            await hub.wait_for(lambda: hub.count("blob") > 0, timeout=0.01)


async def test_a_client_that_leaves_ends_a_stall() -> None:
    async with open_hub() as hub:
        hub.faults.add(Fault(route="blob", kind="stall", at=10))
        reader, writer = await open_raw(hub.host, BLOB)
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(10)  # so that closing sends FIN, not RST
        await hub.wait_for(lambda: hub.stalled == 1)
        await hang_up(writer)
        await hub.wait_for(lambda: hub.stalled == 0 and hub.requests[0].finished)
        assert not hub.requests[0].completed


async def test_connections_are_kept_alive() -> None:
    async with open_hub() as hub, aiohttp.ClientSession() as client:
        for method in ("HEAD", "GET", "GET"):
            async with client.request(method, hub.url + BLOB) as answer:
                assert await answer.read() == (LAYER if method == "GET" else b"")
        async with client.get(hub.url + f"/v2/{NAME}/blobs/sha256:0") as answer:
            assert answer.status == 404
        assert (hub.connections, hub.open_connections) == (1, 1)


async def test_waiting_hears_bytes_go_out_and_connections_end() -> None:
    async with open_hub() as hub, aiohttp.ClientSession() as client:
        hub.bandwidth = 500_000
        async with client.get(hub.url + BLOB) as answer:
            await hub.wait_for(lambda: hub.requests[0].sent >= 20_000)
            assert hub.requests[0].sent < 50_000
            await answer.read()
        await hub.wait_for(lambda: hub.open_requests == 0)
        assert hub.open_connections == 1
        await client.close()
        await hub.wait_for(lambda: hub.open_connections == 0)


async def test_a_client_that_does_not_read_holds_the_sending_back() -> None:
    much = bytes(32_000_000)
    async with open_hub() as hub:
        digest = hub.push_blob(NAME, much)
        _, writer = await open_raw(hub.host, f"/v2/{NAME}/blobs/{digest}")
        await hub.wait_for(lambda: bool(hub.requests) and hub.requests[0].sent > 0)
        assert hub.requests[0].sent < len(much)
        writer.transport.abort()
        await hub.wait_for(lambda: hub.requests[0].finished)


async def test_requests_in_one_packet_are_answered_in_turn() -> None:
    async with open_hub() as hub:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(hub.host[10:]))
        writer.write(b"GET /v2/ HTTP/1.1\r\n\r\nGET / HTTP/1.0\r\n\r\n")
        received = await reader.read()
        await hang_up(writer)
        assert received.count(b"HTTP/1.1 200") == received.count(b"HTTP/1.1 404") == 1


async def test_a_hub_goes_away_and_comes_back_on_its_ports() -> None:
    async with open_hub() as hub:
        hosts = (hub.host, hub.token_host, hub.cdn_host)
        hub.faults.add(Fault(route="blob", kind="stall", at=10, times=1))
        asked = asyncio.create_task(raw_request(hub.host, BLOB))
        await hub.wait_for(lambda: hub.stalled == 1)
        await hub.stop()
        cut = await asked
        assert (cut.ending, cut.status) in {("reset", 200), ("reset", None)}
        for host in hosts:
            with pytest.raises(ConnectionRefusedError):
                await raw_request(host, "/v2/")
        await hub.start()
        assert (hub.host, hub.token_host, hub.cdn_host) == hosts
        assert (await raw_request(hub.host, BLOB)).body == LAYER


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_does_not_slip_through_when_the_hub_goes_away(turns: int) -> None:
    async with open_hub() as hub:
        with socket.create_connection(("127.0.0.1", int(hub.host[10:]))) as late:
            for _ in range(turns):
                await asyncio.sleep(0)
            await hub.stop()
            late.setblocking(False)
            with contextlib.suppress(ConnectionResetError):
                loop = asyncio.get_running_loop()
                assert await asyncio.wait_for(loop.sock_recv(late, 1), 30) == b""
        assert hub.open_connections == 0


async def test_blobs_come_at_the_bandwidth() -> None:
    async with open_hub() as hub:
        hub.bandwidth = 500_000
        loop = asyncio.get_running_loop()
        started = loop.time()
        assert (await raw_request(hub.host, BLOB)).body == LAYER
        assert loop.time() - started >= 0.1


async def test_manifests_come_at_once_whatever_the_bandwidth() -> None:
    async with open_hub() as hub:
        hub.bandwidth = 1
        async with asyncio.timeout(30):
            await raw_request(hub.host, MANIFEST)


async def test_every_answer_waits_for_the_latency() -> None:
    async with open_hub() as hub:
        hub.latency = 0.05
        loop = asyncio.get_running_loop()
        started = loop.time()
        await raw_request(hub.host, MANIFEST)
        assert loop.time() - started >= 0.05


async def test_hundreds_of_clients_at_once() -> None:
    async with open_hub() as hub:
        hub.faults.add(Fault(route="blob", kind="stall", at=100))
        asked = [asyncio.create_task(raw_request(hub.host, BLOB)) for _ in range(300)]
        await hub.wait_for(lambda: hub.stalled == 300)
        hub.release()
        assert [(await each).body == LAYER for each in asked] == [True] * 300


def tls_pair() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For a server on loopback, and for a client that trusts it."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return server, trusting


async def test_clients_that_never_agree_on_tls_do_no_harm() -> None:
    server, trusting = tls_pair()
    async with open_hub(server) as hub, aiohttp.ClientSession() as distrusting:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await distrusting.get(hub.url + BLOB)
        await hub.wait_for(lambda: hub.connections == 1 and hub.open_connections == 0)
        silent, writer = await asyncio.open_connection("127.0.0.1", int(hub.host[10:]))
        await hub.wait_for(lambda: hub.open_connections == 1)
        await hub.stop()
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(silent.read(), 30) == b""
        await hang_up(writer)
        await hub.start()
        async with distrusting.get(hub.url + BLOB, ssl=trusting) as answer:
            assert answer.status == 200


async def test_it_can_speak_tls() -> None:
    server, trusting = tls_pair()
    connector = aiohttp.TCPConnector(ssl=trusting)
    async with open_hub(server) as hub, aiohttp.ClientSession(connector=connector) as client:
        assert hub.url.startswith("https://")
        assert hub.tokens.realm.startswith("https://")
        async with client.get(hub.url + BLOB) as answer:
            assert await answer.read() == LAYER
        hub.faults.add(Fault(route="blob", kind="reset", at=100))
        async with client.get(hub.url + BLOB) as answer:
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()


async def test_a_defect_of_the_hub_itself_is_not_passed_over() -> None:
    hub = open_hub()
    await hub.start()
    hub.faults.add(Fault(route="blob", kind="flip", at=len(LAYER)))
    await raw_request(hub.host, BLOB)
    with pytest.raises(ExceptionGroup, match="the simulated hub itself failed"):
        await hub.__aexit__(None, None, None)


async def test_a_canary_notices_everything() -> None:
    async with Canary() as canary:
        assert (canary.connections, canary.received) == (0, b"")
        _, writer = await open_raw(canary.host, "/token?secret=1")
        await canary.touched.wait()
        await hang_up(writer)
        await canary.quiet()
        assert canary.connections == 1
        assert canary.received.startswith(b"GET /token?secret=1 HTTP/1.1\r\n")


async def test_a_canary_can_tempt_with_a_token() -> None:
    async with Canary(token="poison") as canary, aiohttp.ClientSession() as client:
        async with client.get(canary.url + "/token") as answer:
            assert (await answer.json())["token"] == "poison"
        assert canary.connections == 1


async def test_it_runs_alone() -> None:
    command = ["-m", "tests.simulated_hub", "--auth=none", f"--image={NAME}:1=1K,2K"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    where = json.loads(await process.stdout.readline())
    answer = await raw_request(where["url"].removeprefix("http://"), MANIFEST)
    assert answer.headers["Docker-Content-Digest"] == where["images"][f"{NAME}:1"]
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
