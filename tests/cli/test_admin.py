"""Asking a mirror: what a command says when none answers, and whom it does not listen to."""

import json
import socket
import threading
from collections.abc import Iterator

import pytest

from mirror.cli.admin import ask, image_path, parse_origin
from mirror.cli.failure import Failure
from tests.api.services import ELSEWHERE, Wishes, make_mirror
from tests.cli.conftest import Impostor, Serve, Shell

COMMANDS = [
    ("stats",),
    ("images",),
    ("images", "nginx"),
    ("evict",),
    ("evict", "--dry-run"),
    ("gc",),
    ("gc", "--dry-run"),
]


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Taken, so that nobody else listens there either."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Accepts and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_where_nobody_listens_one_line_says_what_to_do(
    closed_port: int, command: tuple[str, ...], flags: tuple[str, ...]
) -> None:
    url = f"http://127.0.0.1:{closed_port}"
    ran = Shell().run(*command, *flags, "--url", url)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        f"Error: no mirror answers at {url} (connection refused): start one with"
        ' "mirror serve", or name another with --url or MIRROR_URL\n'
    )


def test_the_address_comes_from_the_option_then_the_environment_then_the_default(
    impostor: Impostor, closed_port: int
) -> None:
    other = f"http://127.0.0.1:{closed_port}"
    assert other in Shell({"MIRROR_URL": other}).run("stats").err
    Shell({"MIRROR_URL": other}).run("stats", "--url", impostor.url)
    assert impostor.asked == ["GET /api/v1/stats HTTP/1.1"]
    assert "http://127.0.0.1:5000" in Shell().run("stats", "--help").out


def test_proxies_in_the_environment_are_passed_by(serve: Serve, closed_port: int) -> None:
    proxy = f"http://127.0.0.1:{closed_port}"
    shell = Shell({"http_proxy": proxy, "HTTP_PROXY": proxy, "ALL_PROXY": proxy, "no_proxy": ""})
    assert shell.run("stats", "--url", serve(make_mirror()).url).code == 0


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:5000",
        "ftp://127.0.0.1",
        "http://",
        "http://:5000",
        "http://127.0.0.1:port",
        "http://127.0.0.1:99999",
        "http://[::1",
        "http://user:secret@127.0.0.1",
        "http://127.0.0.1/?x=1",
        "http://127.0.0.1/#x",
        "http://127.0.0.1/\x1b[31m",
        "http://127.0.0.1/\r\nX: y",
        "http://127.0.0.1/ x",
        "http://127.0.0.1/é",
        "http://é.example",
    ],
)
def test_what_is_no_url_is_a_usage_error(url: str) -> None:
    ran = Shell().run("stats", "--url", url)
    assert ran.code == 2
    assert ran.err.startswith("Error: ")
    assert ran.err.count("\n") == 1
    assert ran.err.rstrip("\n").isprintable()
    assert "secret" not in ran.err


def test_a_mirror_may_be_below_a_path(impostor: Impostor) -> None:
    Shell().run("images", "--url", f"{impostor.url}/mirror/")
    assert impostor.asked == ["GET /mirror/api/v1/images?n=1000 HTTP/1.1"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"<html>"),
        (200, b"{}"),
        (200, b"[]"),
        (200, b"\xff"),
        (200, b"[" * 100_000),
        (404, b"not found"),
        (500, b'{"errors": []}'),
        (502, b"<html>Bad Gateway</html>"),
        (302, b""),
    ],
)
def test_what_is_no_mirror_is_told_apart(
    impostor: Impostor, command: tuple[str, ...], status: int, body: bytes
) -> None:
    impostor.status, impostor.body = status, body
    impostor.headers = {"Location": f"{impostor.url}/elsewhere"}
    ran = Shell().run(*command, "--url", impostor.url)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"Error: what answers at {impostor.url} is no mirror")
    assert ran.err.count("\n") == 1
    assert len(impostor.asked) == 1


def test_what_does_not_even_speak_http_is_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        ran = Shell().run("stats", "--url", f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    assert ran.code == 2
    assert ran.err.startswith("Error: no mirror answers at")
    assert ran.err.count("\n") == 1


def test_an_answer_is_not_waited_for_for_ever(silent_port: int) -> None:
    origin = parse_origin(f"http://127.0.0.1:{silent_port}")
    with pytest.raises(Failure, match="timed out"):
        ask(origin, "GET", "/api/v1/stats", patience=0.05)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_refusal_shows_the_line_to_add(serve: Serve, command: tuple[str, ...]) -> None:
    url = serve(make_mirror(Wishes(trusted=ELSEWHERE))).url
    ran = Shell().run(*command, "--url", url)
    assert ran.code == 2
    assert ran.err.startswith(f"Error: {url} says: the admin API is for trusted networks only")
    assert "auth: {trusted_networks: [192.0.2.0/24, 127.0.0.1/32]}" in ran.err


def test_a_message_cannot_take_over_the_terminal(impostor: Impostor) -> None:
    message = "\x1b]0;owned\x07\x1b[2J[red]bad[/red]\r\n\u202eevil\x9b31m :boom: \ud800"
    impostor.status = 503
    impostor.body = json.dumps({"errors": [{"code": "X", "message": message[:-1]}]}).encode()
    ran = Shell({"FORCE_COLOR": "1"}).run("stats", "--url", impostor.url)
    assert ran.code == 2
    assert ran.err.rstrip("\n").isprintable()
    assert "[red]bad[/red]" in ran.err
    assert r"\x1b[2J" in ran.err


def test_a_long_message_does_not_fill_the_screen(impostor: Impostor) -> None:
    impostor.status = 503
    impostor.body = json.dumps({"errors": [{"code": "X", "message": "long " * 10_000}]}).encode()
    assert len(Shell().run("stats", "--url", impostor.url).err) < 1100


@pytest.mark.parametrize(
    "name", ["..", "a/../../stats", "./nginx", "nginx/", "/nginx", "a//b", "a/."]
)
def test_a_name_cannot_lead_to_another_path(name: str) -> None:
    with pytest.raises(Failure, match="not the name of an image"):
        image_path(name)


def test_what_a_path_may_not_hold_is_escaped() -> None:
    assert (
        image_path("a/b:c@sha256:d?n=1#x y%") == "/api/v1/images/a/b:c@sha256:d%3Fn%3D1%23x%20y%25"
    )
