"""Accepting connections, also when for a while there is no file descriptor for another one.

`asyncio.Server` is not used: out of descriptors it tries a thousand times in a row, a log line
each, and a connection that it accepts in the moment it closes is never served nor closed.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

log = logging.getLogger(__name__)

SEND_BUFFER = 256 * 1024
"""Bytes the kernel may hold for one client, which doubles it. Left to itself it grows to 4 MiB
for each of those who do not read.
"""

BACKLOG = 1024

ACCEPTED_AT_ONCE = 64
"""Connections accepted before those that are here already get their turn."""

REST = 1.0
"""Seconds until the next attempt when there is no descriptor left."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class ListenError(Exception):
    """The address cannot be listened on; the message says what to do."""


class Listener:
    """Makes a protocol for every connection to one address."""

    def __init__(self, host: str, port: int, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._host = host
        self._port = port
        self._protocol = protocol
        self._socket: socket.socket | None = None
        self._resting: asyncio.TimerHandle | None = None
        self._welcomes: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port that is listened on, which the system may have chosen."""
        return self._port

    def start(self) -> None:
        """Raises ListenError."""
        self._socket = _bind(self._host, self._port)
        self._port = int(self._socket.getsockname()[1])
        self._go_on(self._socket)

    async def stop(self) -> None:
        """Accept nobody any more. Who was accepted has a protocol when this returns."""
        if self._resting is not None:
            self._resting.cancel()
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        await asyncio.gather(*self._welcomes)

    def _go_on(self, listening: socket.socket) -> None:
        self._resting = None
        asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                self._rest(listening, error)
                return
            welcome = asyncio.create_task(self._welcome(connection))
            self._welcomes.add(welcome)
            welcome.add_done_callback(self._welcomes.discard)

    def _rest(self, listening: socket.socket, error: OSError) -> None:
        log.warning(
            "cannot accept connections for a moment: %s; raise the limit of open files "
            "(ulimit -n) of this server",
            error.strerror,
        )
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)
        self._resting = loop.call_later(REST, self._go_on, listening)

    async def _welcome(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        except OSError as error:
            log.info("a connection was lost before it could be served: %s", error)
            connection.close()


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by every connection; it must be set before listening.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise ListenError(_advice(host, port, error)) from error
    return sock


def _advice(host: str, port: int, error: OSError) -> str:
    address = f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{address} is in use by another program; stop it, or choose another port with the "
            "key listen"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{address} is not an address of this machine; change the key listen"
    if error.errno == errno.EACCES:
        return f"{address} may not be listened on by this user; choose a port above 1023"
    return f"{address} cannot be listened on: {error.strerror}"
