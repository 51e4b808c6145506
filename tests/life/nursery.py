"""Starts servers quickly, from a process that has everything imported.

    python -m tests.life.nursery DESCRIPTOR

answers the orders that come by that socket, one after the other, until its other end is closed.
Each server is a process of its own that runs what `mirror` runs, and differs from it in nothing
but the second that the imports take.
"""

import atexit
import ctypes
import gc
import io
import json
import os
import resource
import signal
import socket
import sys
import threading
from typing import NoReturn

import msgspec

import mirror.app
import mirror.cli.serve
from mirror.__main__ import main

LIBC = ctypes.CDLL(None, use_errno=True)
LONGEST = 64 * 1024
PRELOADED = (mirror.app, mirror.cli.serve)


class Order(msgspec.Struct, frozen=True):
    """One `mirror` with these arguments and nothing but this environment. A descriptor comes with
    it, for what it prints.
    """

    arguments: tuple[str, ...]
    environ: dict[str, str]
    folder: str
    """Where it is started."""
    descriptors: int | None = None
    """How many it may have open."""
    user: int | None = None
    """Who runs it, if not who runs the tests."""
    namespaces: tuple[str, ...] = ()
    """Files that stand for the namespaces it enters: what is mounted for it and for nobody else."""
    is_halted: bool = False
    """Whether it waits for SIGCONT before it does anything, so that it can be traced."""


class Wait(msgspec.Struct, frozen=True, tag=True):
    """Tell how this process ended, once it has: its exit code, or minus the signal."""

    process: int


def answer_orders(orders: socket.socket) -> None:
    while True:
        message, descriptors, _, _ = socket.recv_fds(orders, LONGEST, 1)
        if not message:
            return
        if descriptors:
            order = msgspec.json.decode(message, type=Order)
            process = os.fork()
            if not process:
                orders.close()
                become(order, descriptors[0])
            os.close(descriptors[0])
            if order.is_halted:
                os.waitpid(process, os.WUNTRACED)
            orders.send(json.dumps(process).encode())
        else:
            _, status = os.waitpid(msgspec.json.decode(message, type=Wait).process, 0)
            orders.send(json.dumps(os.waitstatus_to_exitcode(status)).encode())


def become(order: Order, output: int) -> NoReturn:
    """End as the program that was ordered."""
    code: object = 1
    try:
        settle(order, output)
        main()
    except SystemExit as ending:
        code = ending.code
    except BaseException:  # noqa: BLE001 - the outermost frame of a process: Python would do this
        sys.excepthook(*sys.exc_info())
    wait_for_threads()
    os._exit(code if isinstance(code, int) else 0)


def wait_for_threads() -> None:
    """What an interpreter does at its end and others can see. That it then takes itself apart,
    for half a second, nobody can.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # there is no public way to the same
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()


def settle(order: Order, output: int) -> None:
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    for namespace in order.namespaces:
        enter(namespace)
    sys.stdout, sys.stderr = open_stream(1), open_stream(2)
    os.chdir(order.folder)
    os.environ.clear()
    os.environ.update(order.environ)
    sys.argv = ["mirror", *order.arguments]
    if order.descriptors is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (order.descriptors, order.descriptors))
    if order.user is not None:
        os.setgroups([])
        os.setgid(order.user)
        os.setuid(order.user)
    if order.is_halted:
        os.kill(os.getpid(), signal.SIGSTOP)


def enter(namespace: str) -> None:
    descriptor = os.open(namespace, os.O_RDONLY)
    if LIBC.setns(descriptor, 0):
        raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
    os.close(descriptor)


def open_stream(descriptor: int) -> io.TextIOWrapper:
    """As Python opens its own: those that were inherited believe in another file."""
    return io.TextIOWrapper(os.fdopen(descriptor, "wb", closefd=False), line_buffering=True)


if __name__ == "__main__":
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as orders:
        answer_orders(orders)
