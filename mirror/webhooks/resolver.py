"""Names to addresses in a thread of their own: one that hangs is in nobody else's way, and is
begun only once.
"""

import socket
from collections.abc import Callable, Sequence

from aiohttp.abc import AbstractResolver, ResolveResult

from mirror.flight import SingleFlight
from mirror.ports.events import DeliveryFailed
from mirror.unhurried import UnhurriedThreads

Lookup = Callable[[str], Sequence[tuple[socket.AddressFamily, str]]]
"""The addresses of a host. Blocks. Raises OSError."""


def system_lookup(host: str) -> Sequence[tuple[socket.AddressFamily, str]]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [(family, str(address[0])) for family, _, _, _, address in found]


class Resolver(AbstractResolver):
    """For one endpoint. (The base class is aiohttp's way of asking for this.)"""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._threads = UnhurriedThreads(1, "webhook")
        self._flights: SingleFlight[str, Sequence[tuple[socket.AddressFamily, str]]] = SingleFlight(
            _closed
        )

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,
    ) -> list[ResolveResult]:
        """Raises OSError."""
        found = await self._flights.run(host, lambda: self._threads.run(lambda: self._lookup(host)))
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=own,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for own, address in found
            if family in (socket.AF_UNSPEC, own)
        ]

    async def close(self) -> None:
        await self._flights.close()


def _closed() -> DeliveryFailed:
    return DeliveryFailed("this server is stopping")
