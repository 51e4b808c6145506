"""Log lines: text for people at a terminal, JSON for everything else.

Lines are written by a thread of their own. Whoever reads them may be slow or stuck; the event
loop never waits for that, and lines that find no room are counted instead.
"""

import json
import logging
import os
import select
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

ROOM = 8 * 1024 * 1024
"""Characters that may wait to be written."""


def _plain(lost: int) -> str:
    return f"{lost} log lines were lost"


class LineWriter:
    """Writes lines to a stream, in order, from a thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._descriptor = _descriptor(stream)
        self._describe: Callable[[int], str] = _plain
        self._news = threading.Condition()
        self._lines: list[str] = []
        self._size = 0
        self._lost = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def describe_losses(self, describe: Callable[[int], str]) -> None:
        """How to say in a line how many were lost."""
        self._describe = describe

    def write(self, line: str) -> None:
        """Never waits for the reader and never raises."""
        with self._news:
            if self._size + len(line) > ROOM:
                self._lost += 1
                return
            self._lines.append(line)
            self._size += len(line)
            self._news.notify()

    def close(self, patience: float = 2.0) -> None:
        """Write what waits, for ``patience`` seconds at most."""
        with self._news:
            self._closed = True
            self._news.notify()
        self._thread.join(patience)

    def _run(self) -> None:
        while (lines := self._take()) is not None:
            try:
                self._put("\n".join(lines) + "\n")
            except (OSError, ValueError):
                # Nobody reads us any more: there is no place left to say so now.
                with self._news:
                    self._lost += len(lines)

    def _take(self) -> list[str] | None:
        """What waits to be written, ``None`` at the end."""
        with self._news:
            self._news.wait_for(lambda: self._lines or self._closed)
            if not self._lines:
                return None
            lines, self._lines, self._size = self._lines, [], 0
            lost, self._lost = self._lost, 0
        return [*lines, self._describe(lost)] if lost else lines

    def _put(self, text: str) -> None:
        if self._descriptor is None:
            self._stream.write(text)
            self._stream.flush()
            return
        # Past the stream: a thread that is stuck inside it would keep the process from ending.
        left = memoryview(text.encode("utf-8", "backslashreplace"))
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                select.select((), (self._descriptor,), ())


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """One line, and below it an indented trace if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_timestamp(record)} {record.levelname:<7} {printable(record.getMessage())}"
        if not record.exc_info:
            return line
        trace = self.formatException(record.exc_info).split("\n")
        return "\n".join([line, *(f"  {printable(part)}" for part in trace)])


class LineHandler(logging.Handler):
    """Hands formatted records to a writer."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:  # noqa: BLE001 - a record whose arguments do not fit stops nobody
            line = self.format(_of_bad_record(record, error))
        self._writer.write(line)


def wants_text(choice: str, stream: TextIO = sys.stderr) -> bool:
    """``auto`` means text at a terminal."""
    return choice == "text" or (choice == "auto" and stream.isatty())


def start_logging(writer: LineWriter, level: str, *, text: bool) -> None:
    handler = LineHandler(writer)
    handler.setFormatter(TextFormatter() if text else JsonFormatter())
    writer.describe_losses(lambda lost: handler.format(_warning(_plain(lost))))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    # Both narrate every step at INFO.
    for name in ("alembic", "aiohttp.access", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)


def printable(text: str) -> str:
    """Without control characters, which could rewrite a terminal or forge a line."""
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


def _descriptor(stream: TextIO) -> int | None:
    """Of the file behind the stream, if there is one."""
    try:
        return stream.fileno()
    except OSError:
        return None


def _of_bad_record(record: logging.LogRecord, error: Exception) -> logging.LogRecord:
    place = f"{record.pathname}:{record.lineno}"
    return _warning(f"a log record of {place} cannot be shown: {type(error).__name__}")


def _warning(message: str) -> logging.LogRecord:
    return logging.LogRecord(__name__, logging.WARNING, __file__, 0, message, None, None)


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
