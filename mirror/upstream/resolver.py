"""Names to addresses, without letting a slow name server stop anything else."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp.abc import AbstractResolver, ResolveResult
from cachetools import LRUCache

from mirror.flight import SingleFlight
from mirror.ports.clock import Clock
from mirror.unhurried import UnhurriedThreads
from mirror.upstream.errors import closed
from mirror.upstream.guard import Guard

_Question = tuple[str, socket.AddressFamily]

Lookup = Callable[[str, socket.AddressFamily], tuple[str, ...]]

_THREADS = 8
_MOST_HOSTS = 1024
_FRESH_SECONDS = 30.0
_GRACE_SECONDS = 3600.0
_PATIENCE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Known:
    addresses: tuple[str, ...]
    resolved_at: float


def system_lookup(host: str, family: socket.AddressFamily) -> tuple[str, ...]:
    """The addresses of a host in the system's order. Blocks. Raises OSError."""
    found = socket.getaddrinfo(
        host, None, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


class Resolver(AbstractResolver):
    """Resolves in threads of its own, once for all who ask, and remembers.

    An address that was good stays in use for an hour while the name server fails, and while it is
    slow, that is, takes more than ``patience`` seconds. (The base class is aiohttp's way of asking
    for this.)
    """

    def __init__(
        self,
        guard: Guard,
        clock: Clock,
        lookup: Lookup = system_lookup,
        patience: float = _PATIENCE_SECONDS,
    ) -> None:
        self._guard = guard
        self._clock = clock
        self._lookup = lookup
        self._patience = patience
        self._threads = UnhurriedThreads(_THREADS, "resolver")
        self._flights: SingleFlight[_Question, tuple[str, ...]] = SingleFlight(closed)
        self._known: LRUCache[tuple[str, socket.AddressFamily], _Known] = LRUCache(_MOST_HOSTS)

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,
    ) -> list[ResolveResult]:
        """Raises OSError when the name is not known, now or lately."""
        known = self._known.get((host, family))
        age = self._clock.monotonic() - known.resolved_at if known else _GRACE_SECONDS
        if known is None or age >= _GRACE_SECONDS:
            addresses = await self._ask(host, family)
        elif age < _FRESH_SECONDS:
            addresses = known.addresses
        else:
            addresses = await self._ask_or_keep(host, family, known)
        return [_result(host, address, port, family) for address in addresses]

    async def close(self) -> None:
        await self._flights.close()

    async def _ask_or_keep(
        self, host: str, family: socket.AddressFamily, known: _Known
    ) -> tuple[str, ...]:
        try:
            async with asyncio.timeout(self._patience):
                return await self._ask(host, family)
        except OSError:
            return known.addresses

    async def _ask(self, host: str, family: socket.AddressFamily) -> tuple[str, ...]:
        return await self._flights.run((host, family), lambda: self._look_up(host, family))

    async def _look_up(self, host: str, family: socket.AddressFamily) -> tuple[str, ...]:
        addresses = await self._threads.run(lambda: self._lookup(host, family))
        if not addresses:
            raise OSError("the name has no address")
        self._known[host, family] = _Known(addresses, self._clock.monotonic())
        self._guard.learn(host, addresses)
        return addresses


def _result(host: str, address: str, port: int, family: socket.AddressFamily) -> ResolveResult:
    is_ipv6 = ":" in address
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=family or (socket.AF_INET6 if is_ipv6 else socket.AF_INET),
        proto=0,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
