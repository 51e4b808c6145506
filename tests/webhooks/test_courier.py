"""One message is one POST, signed, with an end to every wait, and nothing of it in any log."""

import asyncio
import hashlib
import hmac
import logging
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
import trustme

from mirror.ports.events import DeliveryFailed
from mirror.webhooks.courier import HttpCourier, WebhookSettings
from mirror.webhooks.envelope import render
from tests.conformance.events import MOUNTED, MOVED
from tests.ports import free_port
from tests.webhooks.sink import Manner, Reception, Sink, running_sink
from tests.world import START, SettableClock

SECRET = b"5ecret-that-nobody-may-see"
TOKEN = "Bearer t0ken-that-nobody-may-see"


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with running_sink() as sink:
        yield sink


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


def courier(
    url: str,
    clock: SettableClock,
    timeout: float = 20.0,
    tls: ssl.SSLContext | None = None,
) -> HttpCourier:
    headers = {"Authorization": TOKEN}
    settings = WebhookSettings(url, SECRET, headers, timeout, "https://mirror.lan", tls)
    return HttpCourier(settings, clock)


@pytest.fixture
async def post(sink: Sink, clock: SettableClock) -> AsyncIterator[HttpCourier]:
    post = courier(sink.url, clock)
    yield post
    await post.close()


async def failure(post: HttpCourier) -> DeliveryFailed:
    with pytest.raises(DeliveryFailed) as caught:
        await post.deliver([MOVED])
    text = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__}"
    for secret in (SECRET.decode(), TOKEN, "in-the-url"):
        assert secret not in str(caught.value), text
    assert caught.value.__cause__ is None
    return caught.value


async def test_a_message_is_a_post_of_all_events_with_everything_that_belongs_to_it(
    sink: Sink, post: HttpCourier
) -> None:
    await post.deliver([MOVED, MOUNTED])
    [received] = sink.taken
    assert received.line == "POST /hook?token=in-the-url HTTP/1.1"
    assert received.body == render([MOVED, MOUNTED], "https://mirror.lan")
    assert received.headers["content-type"] == "application/vnd.docker.distribution.events.v2+json"
    assert received.headers["authorization"] == TOKEN
    assert received.headers["host"] == f"127.0.0.1:{sink.port}"


async def test_the_signature_is_what_the_secret_makes_of_the_body(
    sink: Sink, post: HttpCourier
) -> None:
    await post.deliver([MOVED])
    [received] = sink.taken
    expected = hmac.new(SECRET, received.body, hashlib.sha256).hexdigest()
    assert received.headers["x-mirror-signature-256"] == f"sha256={expected}"
    assert hmac.new(b"another", received.body, hashlib.sha256).hexdigest() != expected


async def test_time_and_delivery_are_told_and_signed(
    sink: Sink, post: HttpCourier, clock: SettableClock
) -> None:
    await post.deliver([MOVED])
    clock.advance(timedelta(minutes=5))
    await post.deliver([MOVED])
    await post.deliver([MOUNTED])
    first, again, other = (received.headers for received in sink.taken)
    assert first["x-mirror-timestamp"] == str(int(START.timestamp()))
    assert again["x-mirror-timestamp"] == str(int(START.timestamp()) + 300)
    assert first["x-mirror-delivery"] == again["x-mirror-delivery"] != other["x-mirror-delivery"]
    for received in sink.taken:
        headers = received.headers
        start = f"{headers['x-mirror-delivery']}.{headers['x-mirror-timestamp']}."
        expected = hmac.new(SECRET, start.encode() + received.body, hashlib.sha256).hexdigest()
        assert headers["x-mirror-message-signature-256"] == f"sha256={expected}"


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_every_2xx_is_a_delivery(sink: Sink, post: HttpCourier, status: int) -> None:
    sink.reception = Reception(status=status)
    await post.deliver([MOVED])


@pytest.mark.parametrize("status", [400, 401, 404, 410, 413, 429, 500, 503])
async def test_everything_else_is_none(sink: Sink, post: HttpCourier, status: int) -> None:
    sink.reception = Reception(status=status)
    assert str(await failure(post)) == f"it answered {status}"
    assert len(sink.received) == 1, "trying again is for others to decide"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(
    sink: Sink, post: HttpCourier, clock: SettableClock, status: int
) -> None:
    async with running_sink() as elsewhere:
        sink.reception = Reception(status=status, head=[f"Location: {elsewhere.url}"])
        found = await failure(post)
        assert str(found) == f"it answered {status}, and redirects are not followed"
        assert elsewhere.received == []
    assert clock.now() == START


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("Thu, 01 Jan 2026 00:01:30 GMT", 90.0),
        ("Thu, 01 Jan 2026 00:01:30", 90.0),
        ("Wed, 31 Dec 2025 23:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("\u0663", None),
        ("9" * 400, None),
        ("Thu, 01 Jan 99999 00:00:00 GMT", None),
    ],
)
async def test_retry_after_is_understood_in_both_forms(
    sink: Sink, post: HttpCourier, value: str, seconds: float | None
) -> None:
    sink.reception = Reception(status=503, head=[f"Retry-After: {value}"])
    assert (await failure(post)).retry_after == seconds


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("reset", "the connection broke"),
        ("garbage", "it answered something that is not HTTP"),
        ("hang", "no answer within 0.05 s"),
        ("half", "no answer within 0.05 s"),
    ],
)
async def test_an_endpoint_in_trouble_is_a_failure_with_a_reason(
    sink: Sink, clock: SettableClock, manner: Manner, reason: str
) -> None:
    sink.reception = Reception(manner)
    patience = 0.05 if "within" in reason else 20.0
    post = courier(sink.url, clock, timeout=patience)
    async with asyncio.timeout(20):
        assert str(await failure(post)) == reason
    await post.close()


async def test_an_answer_without_an_end_is_not_read(sink: Sink, post: HttpCourier) -> None:
    sink.reception = Reception("endless", status=200)
    await post.deliver([MOVED])
    sink.reception = Reception()
    await post.deliver([MOUNTED])
    assert len(sink.received) == 2


async def test_whoever_does_not_listen_is_a_failure(clock: SettableClock) -> None:
    post = courier(Sink(port=free_port()).url, clock)
    assert str(await failure(post)) == "no connection (Connection refused)"
    await post.close()


async def test_a_name_that_does_not_exist_is_a_failure(clock: SettableClock) -> None:
    def lookup(host: str) -> Sequence[tuple[socket.AddressFamily, str]]:
        raise socket.gaierror(socket.EAI_NONAME, f"{host} is not known")

    post = HttpCourier(WebhookSettings("http://nowhere.example", SECRET, {}, 20.0), clock, lookup)
    assert str(await failure(post)) == "its name cannot be resolved"
    await post.close()


async def test_a_name_server_that_hangs_is_waited_for_once_and_by_nobody_else(
    sink: Sink, clock: SettableClock
) -> None:
    gate, asked = threading.Event(), list[str]()

    def lookup(host: str) -> Sequence[tuple[socket.AddressFamily, str]]:
        asked.append(host)
        gate.wait()
        return [(socket.AF_INET, "127.0.0.1")]

    url = sink.url.replace("127.0.0.1", "ci.example")
    settings = WebhookSettings(url, SECRET, {}, 0.05)
    hung, well = HttpCourier(settings, clock, lookup), courier(sink.url, clock)
    for _ in range(3):
        assert str(await failure(hung)) == "no answer within 0.05 s"
    await well.deliver([MOVED])
    assert asked == ["ci.example"]
    gate.set()
    slower = HttpCourier(replace(settings, timeout=20.0), clock, lookup)
    await slower.deliver([MOUNTED])
    assert sink.taken[-1].headers["host"] == f"ci.example:{sink.port}"
    for each in (hung, well, slower):
        await each.close()


async def test_a_name_server_that_hangs_holds_up_no_end(clock: SettableClock) -> None:
    gate = threading.Event()

    def lookup(_host: str) -> Sequence[tuple[socket.AddressFamily, str]]:
        gate.wait()
        return []

    hung = HttpCourier(WebhookSettings("http://ci.example", SECRET, {}, 0.05), clock, lookup)
    await failure(hung)
    async with asyncio.timeout(20):
        await hung.close()
    gate.set()


async def test_tls_is_spoken_with_those_that_can_be_trusted(clock: SettableClock) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with running_sink(context) as sink:
        stranger = courier(sink.url, clock)
        assert str(await failure(stranger)) == "its certificate is not to be trusted"
        assert sink.received == []
        await stranger.close()
        post = courier(sink.url, clock, tls=trusting)
        await post.deliver([MOVED])
        await post.close()
        assert len(sink.taken) == 1


async def test_a_courier_that_is_closed_sends_nothing(sink: Sink, post: HttpCourier) -> None:
    await post.deliver([MOVED])
    await post.close()
    await post.close()
    assert str(await failure(post)) == "this server is stopping"
    assert len(sink.received) == 1


async def test_no_proxy_of_the_environment_is_asked(
    sink: Sink, post: HttpCourier, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_sink() as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        await post.deliver([MOVED])
        assert (len(sink.taken), proxy.received) == (1, [])


async def test_settings_do_not_show_what_is_secret(
    sink: Sink, post: HttpCourier, caplog: pytest.LogCaptureFixture
) -> None:
    settings = WebhookSettings(sink.url, SECRET, {"Authorization": TOKEN}, 1.0)
    shown = f"{settings!r} {settings}"
    with caplog.at_level(logging.DEBUG):
        await post.deliver([MOVED])
        sink.reception = Reception(status=500)
        await failure(post)
    for secret in (SECRET.decode(), TOKEN, "in-the-url"):
        assert secret not in shown
        assert secret not in caplog.text
