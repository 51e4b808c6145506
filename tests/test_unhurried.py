"""Threads that may be left behind."""

import asyncio
import subprocess
import sys
import threading

import pytest

from mirror.unhurried import UnhurriedThreads


async def test_it_returns_what_the_work_returns() -> None:
    assert await UnhurriedThreads(1, "test").run(threading.get_ident) != threading.get_ident()


async def test_it_raises_what_the_work_raises() -> None:
    with pytest.raises(ZeroDivisionError):
        await UnhurriedThreads(1, "test").run(lambda: 1 // 0)


async def test_no_more_than_so_many_at_the_same_time() -> None:
    threads, gate = UnhurriedThreads(3, "test"), threading.Event()
    before = threading.active_count()
    work = [asyncio.create_task(threads.run(gate.wait)) for _ in range(10)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert threading.active_count() - before == 3
    gate.set()
    assert await asyncio.gather(*work) == [True] * 10


async def test_whoever_leaves_gives_his_place_to_the_next() -> None:
    threads, gate = UnhurriedThreads(1, "test"), threading.Event()
    stuck = asyncio.create_task(threads.run(gate.wait))
    await asyncio.sleep(0)
    stuck.cancel()
    assert await threads.run(lambda: "done") == "done"
    gate.set()


ENDS_WHILE_A_THREAD_IS_STUCK = """
import asyncio, threading
from mirror.unhurried import UnhurriedThreads

started = threading.Event()

def wait():
    started.set()
    threading.Event().wait()

async def main():
    stuck = asyncio.create_task(UnhurriedThreads(1, "test").run(wait))
    await asyncio.sleep(0)
    started.wait()
    stuck.cancel()

asyncio.run(main())
print("ended")
"""


def test_a_process_ends_without_them() -> None:
    command = [sys.executable, "-c", ENDS_WHILE_A_THREAD_IS_STUCK]
    ended = subprocess.run(command, timeout=20, check=True, capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("ended\n", "")
