"""Log lines: text for people at a terminal, JSON for everything else.

Lines are written by a thread of their own. Whoever reads them may be slow or stuck; the event
loop never waits for that, and lines that find no room are counted instead.
"""

import json
import logging
import sys
import threading
from collections import deque
from datetime import UTC, datetime
from typing import TextIO

ROOM = 20_000
"""Lines that may wait to be written."""


class LineWriter:
    """Writes lines to a stream, in order, from a thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: deque[str] = deque()
        self._ready = threading.Event()
        self._dropped = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Never waits and never raises."""
        if len(self._lines) >= ROOM:
            self._dropped += 1
            return
        self._lines.append(line)
        if not self._ready.is_set():
            self._ready.set()

    def close(self, patience: float = 2.0) -> None:
        """Write what waits, for ``patience`` seconds at most."""
        self._closed = True
        self._ready.set()
        self._thread.join(patience)

    def _run(self) -> None:
        while not (self._closed and not self._lines):
            self._ready.wait()
            self._ready.clear()
            try:
                self._write_waiting()
            except (OSError, ValueError):
                # Nobody reads us any more: there is no place left to say so.
                self._lines.clear()

    def _write_waiting(self) -> None:
        while self._lines:
            batch = [self._lines.popleft() for _ in range(min(len(self._lines), 1000))]
            self._stream.write("\n".join(batch) + "\n")
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self._stream.write(f'{{"level": "warning", "message": "{dropped} log lines lost"}}\n')
        self._stream.flush()


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
    def format(self, record: logging.LogRecord) -> str:
        line = f"{_timestamp(record)} {record.levelname:<7} {printable(record.getMessage())}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class LineHandler(logging.Handler):
    """Hands formatted records to a writer."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._writer.write(self.format(record))
        except Exception:  # noqa: BLE001 - what logging asks of handlers: a bad record stops nobody
            self.handleError(record)


def wants_text(choice: str, stream: TextIO = sys.stderr) -> bool:
    """``auto`` means text at a terminal."""
    return choice == "text" or (choice == "auto" and stream.isatty())


def start_logging(writer: LineWriter, level: str, *, text: bool) -> None:
    handler = LineHandler(writer)
    handler.setFormatter(TextFormatter() if text else JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    # Both narrate every step at INFO.
    for name in ("alembic", "aiohttp.access", "asyncio", "aiosqlite"):
        logging.getLogger(name).setLevel(logging.WARNING)


def printable(text: str) -> str:
    """Without control characters, which could rewrite a terminal or forge a line."""
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
