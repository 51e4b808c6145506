"""Refuses connections to places that an upstream must not send us to.

Sees the address that is actually dialled, after name resolution, so that neither redirects nor a
name server that changes its mind get round it.
"""

import errno
import socket
from collections.abc import Iterable

from aiohttp import AddrInfoType

from mirror.upstream.address import AddressKind, kind_of


class AddressRefused(OSError):
    """The address is not public, and the operator named no upstream host of that kind."""

    def __init__(self) -> None:
        # No address in the text: a name with several gives one error, not a list of them.
        super().__init__(errno.EACCES, "the address is not a public one")


class Guard:
    """A socket factory for ``aiohttp.TCPConnector``.

    Public addresses are allowed. Others are allowed when a host that the operator named is at an
    address of the same kind: a private registry may have its storage in its own network.
    """

    def __init__(self, named_hosts: Iterable[str]) -> None:
        self._named: dict[str, frozenset[AddressKind]] = {
            host: frozenset({kind_of(host)} - {AddressKind.RESERVED}) for host in named_hosts
        }

    def learn(self, host: str, addresses: Iterable[str]) -> None:
        """A name was resolved. Only hosts that the operator named count."""
        if host in self._named:
            self._named[host] = frozenset(kind_of(address) for address in addresses)

    def allows(self, address: str) -> bool:
        kind = kind_of(address)
        return kind is AddressKind.PUBLIC or any(kind in kinds for kinds in self._named.values())

    def __call__(self, address: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, destination = address
        if not self.allows(str(destination[0])):
            raise AddressRefused
        return socket.socket(family, kind, protocol)
