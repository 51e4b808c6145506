"""``mirror serve`` as a process: what it says when it cannot start, and how it ends."""

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cli.conftest import Shell

PATIENCE = 30.0
LISTENS = re.compile(r"mirror listens on \S+:(\d+)")


def start(folder: Path, environ: Mapping[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mirror", "serve", *arguments],
        cwd=folder,
        env={**os.environ, "MIRROR__CACHE__MIN_FREE": "1MiB", **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def fail(folder: Path, environ: Mapping[str, str], *arguments: str) -> str:
    """What a server says that cannot start."""
    with start(folder, environ, *arguments) as process:
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (2, ""), err
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_answers_and_ends_when_it_is_told_to(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "mirror.yaml").write_text("listen: 127.0.0.1:0\noffline: true\n")
    with start(tmp_path, {}) as process:
        try:
            port = port_of(process)
            ran = Shell().run("stats", "--url", f"http://127.0.0.1:{port}")
            assert ran.code == 0
            assert "Offline    no upstream is contacted" in ran.lines
        finally:
            process.send_signal(number)
            _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert (tmp_path / "data").is_dir()


def port_of(process: subprocess.Popen[str]) -> int:
    """As soon as it says where it listens."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := LISTENS.search(line):
            return int(found[1])
    raise AssertionError("the server does not listen")


def test_mistakes_in_the_configuration_are_lines_with_their_places(tmp_path: Path) -> None:
    (tmp_path / "mirror.yaml").write_text("listen: 5000\nofline: true\n")
    lines = fail(tmp_path, {"MIRROR__LOG__LEVEL": "loud"}).splitlines()
    places = ["mirror.yaml:1:9: listen", "mirror.yaml:2:1: ofline", "MIRROR__LOG__LEVEL: log.level"]
    assert [line[: len(place)] for line, place in zip(lines, places, strict=True)] == places


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        err = fail(tmp_path, {"MIRROR__LISTEN": f"127.0.0.1:{port}"})
    (line,) = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert str(port) in line


def test_a_data_folder_in_use_is_told(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with (data / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        err = fail(tmp_path, {"MIRROR__LISTEN": "127.0.0.1:0"})
    (line,) = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert "in use by another server" in line
