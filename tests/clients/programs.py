"""Running real programs: commands that end, and servers that are ended by their process id."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Debian's programs, whatever else is installed under the same names."""

PATIENCE = 120.0
"""Seconds that any command may take; a slow pull has to end by itself long before."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended. ``output`` is what it wrote, ``errors`` what it complained about."""

    argv: tuple[str, ...]
    code: int
    output: str
    errors: str

    @property
    def everything(self) -> str:
        return self.output + self.errors

    def checked(self) -> "Finished":
        """This, if it went well. Fails the test otherwise."""
        if self.code:
            pytest.fail(f"{' '.join(self.argv)}: exit code {self.code}\n{self.everything}")
        return self


def find_program(name: str) -> str:
    """Where it is. Skips the test when it is not installed."""
    found = shutil.which(name, path=SYSTEM_PATH)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def find_tool(name: str) -> str:
    """Where what ``tests/clients/tools`` builds is. Skips the test where it could not be built."""
    folder = os.environ.get("CLIENTS_TOOLS")
    if folder is None:
        pytest.skip(f"{name} could not be built: {os.environ.get('CLIENTS_TOOLS_LACK')}")
    return str(Path(folder, name))


def clean_environment(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Nothing of the user's: no logins, no proxies, no certificates, no settings."""
    return {"PATH": SYSTEM_PATH, "HOME": str(home), "LANG": "C.UTF-8", **(more or {})}


async def run(argv: Sequence[str], env: Mapping[str, str], timeout: float = PATIENCE) -> Finished:  # noqa: ASYNC109 - the message on expiry needs what was written
    """Run to the end; the command and its children are killed when they take too long."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), timeout)
    except TimeoutError:
        pytest.fail(f"{' '.join(argv)}: not done within {timeout} s")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    code = process.returncode or 0
    return Finished(tuple(argv), code, output.decode(errors="replace"), errors.decode())


@dataclass(slots=True)
class Program:
    """A server: its command, where its output goes, and its process once it was started."""

    argv: Sequence[str]
    env: Mapping[str, str]
    log_path: Path
    _process: subprocess.Popen[bytes] | None = None
    _log: IO[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        self._log = self.log_path.open("ab")
        self._process = subprocess.Popen(
            self.argv,
            env=dict(self.env),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._started.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """Everything written so far, by earlier runs too."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_until(self, ready: Callable[[], bool], within: float = 60.0) -> None:
        """Fails the test when the program ends before, or takes longer than so many seconds."""
        deadline = time.monotonic() + within
        while not ready():
            if not self.is_running:
                pytest.fail(f"{self.argv[0]} ended:\n{self.log[-4000:]}")
            if time.monotonic() > deadline:
                pytest.fail(f"{self.argv[0]} is not ready after {within} s:\n{self.log[-4000:]}")
            time.sleep(0.02)

    def signal(self, number: int) -> None:
        self._started.send_signal(number)

    async def kill(self) -> None:
        """As a crash or the kernel's killer of processes does."""
        self.signal(signal.SIGKILL)
        await self.ended()

    async def ended(self, within: float = 60.0) -> int:
        """Wait for the end; the exit code, negative for a signal."""
        code = await asyncio.to_thread(self._started.wait, within)
        self._close()
        return code

    def stop(self, within: float = 20.0) -> None:
        """Ask it to end, and kill it when it does not. Harmless when it has ended."""
        if self._process is None:
            return
        if self.is_running:
            self._process.terminate()
            try:
                self._process.wait(within)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait(within)
        self._close()

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            pytest.fail(f"{self.argv[0]} was never started")
        return self._process

    def _close(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None
