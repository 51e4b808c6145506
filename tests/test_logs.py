"""Log lines reach their reader, or are counted; the server never waits for either."""

import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.logs import (
    ROOM,
    JsonFormatter,
    LineHandler,
    LineWriter,
    TextFormatter,
    printable,
    start_logging,
    wants_text,
)

LOST = re.compile(r"(\d+) log lines were lost")


@contextmanager
def pipe() -> Iterator[tuple[int, TextIO]]:
    """Where a reader reads, and what is written to."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="utf-8") as stream:
        yield reading, stream
    os.close(reading)


def written(tmp_path: Path, lines: list[str]) -> str:
    path = tmp_path / "log"
    with path.open("w", encoding="utf-8") as stream:
        writer = LineWriter(stream)
        for line in lines:
            writer.write(line)
        writer.close()
    return path.read_text(encoding="utf-8")


def test_lines_come_out_in_order(tmp_path: Path) -> None:
    lines = [f"line {count}" for count in range(10_000)]
    assert written(tmp_path, lines).splitlines() == lines


def test_lines_of_several_threads_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w", encoding="utf-8") as stream:
        writer = LineWriter(stream)
        threads = [threading.Thread(target=fill, args=(writer, 1000)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        writer.close()
    assert path.read_text(encoding="utf-8").splitlines() == ["x" * 999] * 4000


def test_what_is_no_text_is_written_all_the_same(tmp_path: Path) -> None:
    assert written(tmp_path, ["before", "\udcff", "after"]) == "before\n\\udcff\nafter\n"


def test_a_stream_without_a_file_will_do() -> None:
    stream = io.StringIO()
    writer = LineWriter(stream)
    writer.write("line")
    writer.close()
    assert stream.getvalue() == "line\n"


def fill(writer: LineWriter, count: int) -> None:
    for _ in range(count):
        writer.write("x" * 999)


def test_a_reader_that_is_stuck_stops_nobody() -> None:
    """What finds no room is lost, and when the reader goes on it is told how much."""
    count = 3 * ROOM // 999
    with pipe() as (reading, stream):
        writer = LineWriter(stream)
        fill(writer, count)
        lines = read_to_the_end(reading, writer)
    lost = [int(match[1]) for line in lines if (match := LOST.fullmatch(line))]
    arrived = lines.count("x" * 999)
    assert arrived + len(lost) == len(lines)
    assert arrived + sum(lost) == count
    assert arrived > ROOM // 1000


def read_to_the_end(reading: int, writer: LineWriter) -> list[str]:
    """The lines that come until the writer has ended."""
    data = bytearray()
    os.set_blocking(reading, False)
    while writer._thread.is_alive():
        writer.close(0.0)
        with suppress(BlockingIOError):
            data += os.read(reading, 1 << 20)
    with suppress(BlockingIOError):
        while more := os.read(reading, 1 << 20):
            data += more
    return data.decode().splitlines()


def test_waiting_lines_have_limited_room() -> None:
    with pipe() as (reading, stream):
        writer = LineWriter(stream)
        fill(writer, 4 * ROOM // 999)
        assert writer._size <= ROOM
        read_to_the_end(reading, writer)


def test_a_reader_that_has_gone_loses_lines_and_nothing_else() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="utf-8") as stream:
        os.close(reading)
        writer = LineWriter(stream)
        for _ in range(100):
            writer.write("into the void")
        writer.close()
        assert not writer._thread.is_alive()
        assert writer._lost == 100


def test_a_reader_that_takes_only_some_gets_it_all() -> None:
    """A terminal or a container engine may have made the pipe one that does not block."""
    with pipe() as (reading, stream):
        os.set_blocking(stream.fileno(), False)
        writer = LineWriter(stream)
        fill(writer, 1000)
        lines = read_to_the_end(reading, writer)
    assert lines == ["x" * 999] * 1000


STUCK = """
import sys, time
from mirror.logs import LineWriter
writer = LineWriter(sys.stderr)
for _ in range(1000):
    writer.write("x" * 1000)
writer.close(0.05)
print("done", flush=True)
"""


def test_a_process_with_a_stuck_reader_ends() -> None:
    """Not only its last statement: the interpreter must not wait for the thread either."""
    command = [sys.executable, "-c", STUCK]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe) as process:
        try:
            assert process.wait(20) == 0
            assert process.stdout is not None
            assert process.stdout.read() == b"done\n"
        finally:
            process.kill()


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, as it was afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def logged(root: logging.Logger, *, text: bool, level: str = "info") -> list[str]:
    """What comes out of a few records, good and bad."""
    stream = io.StringIO()
    writer = LineWriter(stream)
    start_logging(writer, level, text=text)
    log = logging.getLogger("mirror.test")
    log.info("a %s", "plain one")
    log.debug("not at this level")
    log.info("forged\r\n2026 ERROR no \x1b[31mline\u2028", extra={"x": 1})
    log.info("%d apples", "many")
    log.info("%s", Unspeakable())
    try:
        raise ValueError("bad\n\x1b[2J2026 ERROR forged")
    except ValueError:
        log.exception("it failed")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("careful", stacklevel=1)
    writer.close()
    assert root.handlers
    return stream.getvalue().splitlines()


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_json_is_one_object_in_a_line(root: logging.Logger) -> None:
    lines = [json.loads(line) for line in logged(root, text=False)]
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)
    assert [line["level"] for line in lines] == [
        *("info", "info", "warning", "warning", "error", "warning"),
    ]
    messages = [line["message"] for line in lines]
    assert messages[0] == "a plain one"
    assert messages[1] == "forged\r\n2026 ERROR no \x1b[31mline\u2028"
    assert all("cannot be shown" in message for message in messages[2:4])
    assert "ValueError: bad\n" in lines[4]["trace"]
    assert "careful" in messages[5]
    assert "T" in lines[0]["time"]


def test_text_is_one_line_with_its_trace_indented(root: logging.Logger) -> None:
    lines = logged(root, text=True)
    assert all(line.isprintable() for line in lines)
    begun = [line for line in lines if not line.startswith("  ")]
    assert len(begun) == 6
    assert begun[0].endswith("INFO    a plain one")
    assert begun[1].endswith("forged\\x0d\\x0a2026 ERROR no \\x1b[31mline\\x2028")
    assert "  \\x1b[2J2026 ERROR forged" in lines


def test_the_level_decides(root: logging.Logger) -> None:
    assert len(logged(root, text=True, level="error")) < 15
    assert not any("plain" in line for line in logged(root, text=True, level="warning"))


@pytest.mark.parametrize("text", [True, False])
def test_losses_are_told_in_the_form_of_the_log(root: logging.Logger, *, text: bool) -> None:
    stream = io.StringIO()
    writer = LineWriter(stream)
    start_logging(writer, "info", text=text)
    writer.write("x" * (ROOM + 1))
    writer.write("a line")
    writer.close()
    _, told = stream.getvalue().splitlines()
    assert "1 log lines were lost" in told
    assert told.startswith("{") is not text
    assert root.handlers


class Refusing(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"{record.levelname} {record.getMessage()}"


@pytest.mark.parametrize("arguments", [("too", "many"), (1,), ({"a": 1},), (object(),)])
def test_a_bad_record_stops_nobody(arguments: tuple[object, ...]) -> None:
    stream = io.StringIO()
    writer = LineWriter(stream)
    handler = LineHandler(writer)
    handler.setFormatter(Refusing())
    record = logging.LogRecord("x", logging.INFO, "file.py", 7, "%d and %d", arguments, None)
    handler.emit(record)
    writer.close()
    assert "file.py:7 cannot be shown" in stream.getvalue()


ANY = st.text(st.characters(), max_size=200)


@given(message=ANY, name=ANY)
def test_any_message_is_one_line(message: str, name: str) -> None:
    record = logging.LogRecord(name, logging.INFO, "file.py", 1, "%s", (message,), None)
    as_json = JsonFormatter().format(record)
    assert "\n" not in as_json
    assert as_json.isascii()
    assert json.loads(as_json)["message"] == message
    assert TextFormatter().format(record).isprintable()


@given(ANY)
def test_printable_text_is_left_alone(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(text) == text or not text.isprintable()


def test_a_terminal_gets_text() -> None:
    stream = io.StringIO()
    assert wants_text("text", stream)
    assert not wants_text("json", stream)
    assert not wants_text("auto", stream)
    assert wants_text("auto", Terminal())


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True
