"""TLS where there is none: one line that says what to do, however many clients try."""

import asyncio
import logging
import ssl
from datetime import timedelta

import pytest

from mirror.api.tls_probes import QUIET, TlsProbes
from tests.api.services import make_mirror
from tests.api.serving import serving
from tests.api.site import BLOB
from tests.api.wire import connected, exchanged, parse_answers, request
from tests.world import SettableClock

LOGGER = "mirror.api"
HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(200)


def lines_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith(LOGGER)]


async def test_many_are_told_of_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, LOGGER):
        async with serving(make_mirror()) as server:
            for _ in range(20):
                received, _ = await exchanged(server.port, HELLO, end=False)
                (answer,) = parse_answers(received, ["GET"])
                assert answer.status == 400
            assert server.lines == []
    (line,) = lines_of(caplog)
    assert line.startswith("client 127.0.0.1 speaks https to this port, which speaks http; ")
    assert "insecure-registries" in line


async def test_a_client_sees_that_it_was_answered_in_http(caplog: pytest.LogCaptureFixture) -> None:
    """Docker tells by that, and goes on without TLS."""
    context = ssl.create_default_context()
    with caplog.at_level(logging.INFO, LOGGER):
        async with serving(make_mirror()) as server:
            with pytest.raises(ssl.SSLError, match=r"(?i)wrong.version.number|record layer"):
                await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
    (line,) = lines_of(caplog)
    assert "speaks https" in line


async def test_each_byte_may_come_on_its_own(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, LOGGER):
        async with serving(make_mirror()) as server:
            await exchanged(server.port, *(HELLO[at : at + 1] for at in range(20)), end=False)
    (line,) = lines_of(caplog)
    assert "speaks https" in line


async def test_what_looks_like_it_behind_a_request_is_only_malformed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, LOGGER):
        async with serving(make_mirror()) as server:
            await exchanged(server.port, request(BLOB) + HELLO, end=False)
            async with connected(server.port) as line:
                assert (await line.ask(request("/v2/"))).status == 200
                await line.send(HELLO)
                await line.rest()
        assert [logged.status for logged in server.lines][-2:] == [200, 400]
    assert all(told.startswith("refused a malformed request") for told in lines_of(caplog))
    assert len(lines_of(caplog)) == 2


def test_after_a_while_it_is_told_again_with_how_many_there_were(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = SettableClock()
    probes = TlsProbes(clock)
    with caplog.at_level(logging.INFO, LOGGER):
        for client in range(1000):
            probes.met(f"192.0.2.{client}")
        clock.advance(timedelta(seconds=QUIET))
        probes.met("192.0.2.1")
        clock.advance(timedelta(seconds=QUIET))
        probes.met("192.0.2.2")
    first, second, third = lines_of(caplog)
    assert first.startswith("client 192.0.2.0 ")
    assert second.startswith("client 192.0.2.1 ")
    assert second.endswith(" (999 more did since this was last said)")
    assert "more did" not in first + third
