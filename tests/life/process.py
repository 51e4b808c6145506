"""A mirror in a process of its own: started, watched, asked, stopped, killed."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec

from tests.life.nursery import LONGEST, Order, Wait

LISTENS = re.compile(r"mirror listens on \S+:(\d+)")


class Nursery:
    """Where servers come from. Every answer comes at once, so nothing here waits."""

    def __enter__(self) -> Self:
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "tests.life.nursery", str(theirs.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._orders.close()
        self._process.wait()

    def start(self, order: Order, output: int) -> int:
        """The process. It has its own copy of the descriptor ``output``."""
        socket.send_fds(self._orders, [msgspec.json.encode(order)], [output])
        return int(json.loads(self._orders.recv(LONGEST)))

    def wait(self, process: int) -> int:
        """The exit code of a process that has ended, or minus the signal that ended it."""
        self._orders.send(msgspec.json.encode(Wait(process)))
        return int(json.loads(self._orders.recv(LONGEST)))


@dataclass(slots=True)
class Program:
    """One run of `mirror`. ``lines`` is what it has printed so far, on both streams."""

    nursery: Nursery
    process: int
    output: IO[bytes]
    lines: list[str] = field(default_factory=list)
    _watch: int = -1
    _reading: asyncio.Task[None] | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _code: int | None = None

    async def begin(self) -> None:
        self._watch = os.pidfd_open(self.process)
        reader = asyncio.StreamReader(limit=1 << 24)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), self.output
        )
        self._reading = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            self.lines.append(line.decode().rstrip("\n"))
            self._news.set()
        self._news.set()

    async def printed(self, pattern: re.Pattern[str], patience: float = 20) -> re.Match[str]:
        """The first match in what it prints. Raises AssertionError when it ends without one."""
        async with asyncio.timeout(patience):
            while True:
                self._news.clear()
                for line in self.lines:
                    if found := pattern.search(line):
                        return found
                if self._reading is None or self._reading.done():
                    raise AssertionError(f"it never printed {pattern.pattern}: {self.lines}")
                await self._news.wait()

    def signal(self, number: int) -> None:
        if self._code is None:
            signal.pidfd_send_signal(self._watch, number)

    async def ended(self, patience: float = 20) -> int:
        """Its exit code, or minus the signal that ended it."""
        if self._code is None:
            async with asyncio.timeout(patience):
                await _readable(self._watch)
            self._code = self.nursery.wait(self.process)
            if self._reading is not None:
                await self._reading
            os.close(self._watch)
        return self._code

    async def stop(self, patience: float = 20) -> int:
        """Its exit code after SIGTERM."""
        self.signal(signal.SIGTERM)
        return await self.ended(patience)

    @property
    def has_ended(self) -> bool:
        """As far as somebody has waited for it."""
        return self._code is not None

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await self.ended()


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


@asynccontextmanager
async def running_program(nursery: Nursery, order: Order) -> AsyncIterator[Program]:
    """A program that is killed at the end if it has not ended by itself."""
    ours, theirs = os.pipe()
    try:
        process = nursery.start(order, theirs)
    finally:
        os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as output:
        program = Program(nursery, process, output)
        await program.begin()
        try:
            yield program
        finally:
            program.signal(signal.SIGCONT)
            await program.kill()


def order(
    data: Path,
    environ: Mapping[str, str],
    arguments: Sequence[str] = ("serve",),
    *,
    descriptors: int | None = None,
    user: int | None = None,
    namespaces: Sequence[str] = (),
    is_halted: bool = False,
) -> Order:
    """`mirror serve` on this folder with these settings, started beside it."""
    return Order(
        tuple(arguments),
        {"MIRROR__DATA": str(data), "MIRROR__LISTEN": "127.0.0.1:0", **environ},
        str(data.parent),
        descriptors=descriptors,
        user=user,
        namespaces=tuple(namespaces),
        is_halted=is_halted,
    )


@dataclass(frozen=True, slots=True)
class Server:
    """A program that listens."""

    program: Program
    port: int

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"


@asynccontextmanager
async def running_server(nursery: Nursery, order: Order) -> AsyncIterator[Server]:
    async with running_program(nursery, order) as program:
        yield await listening(program)


async def listening(program: Program) -> Server:
    """The server that a program has become."""
    return Server(program, int((await program.printed(LISTENS))[1]))


def open_files(process: int) -> list[str]:
    """What the descriptors of a process lead to."""
    found = []
    for entry in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since the listing began
            found.append(str(entry.readlink()))
    return sorted(found)


def threads(process: int) -> int:
    return len(list(Path(f"/proc/{process}/task").iterdir()))


def resident(process: int) -> int:
    """Bytes of memory that no file stands for: what only this process holds."""
    text = Path(f"/proc/{process}/status").read_text()
    return int(re.findall(r"RssAnon:\s+(\d+) kB", text)[0]) * 1024
