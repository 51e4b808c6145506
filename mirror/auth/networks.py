"""Access by network: everyone pulls, trusted networks administer. For as long as nobody logs in."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from mirror.ports.access import Action, Identity

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_MAPPED = IPv6Network("::ffff:0:0/96")
_IPV4_BITS = 32


class TrustedNetworks:
    """An ``AccessPolicy``. What is no IP address (a Unix socket, a closed connection) is nobody."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = tuple(_unmapped_network(network) for network in networks)

    def allows(self, identity: Identity, action: Action) -> bool:
        if action is Action.PULL:
            return True
        address = _parse_address(identity.address)
        return address is not None and any(address in network for network in self._networks)

    def advice(self, identity: Identity, action: Action) -> str:  # noqa: ARG002 - one list decides about every action
        address = _parse_address(identity.address)
        if address is None:
            return "only clients that connect by IP from auth.trusted_networks may do this"
        networks = ", ".join(_written(item) for item in (*self._networks, ip_network(address)))
        return (
            "add the client's network to auth.trusted_networks in mirror.yaml:"
            f" auth: {{trusted_networks: [{networks}]}}"
        )


@lru_cache(1024)
def _parse_address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    # A link-local peer carries its interface (fe80::1%eth0), which no network names.
    return address.ipv4_mapped or IPv6Address(int(address))


def _unmapped_network(network: Network) -> Network:
    """A socket for both families sees IPv4 clients as ``::ffff:192.0.2.7``."""
    if isinstance(network, IPv4Network) or not network.subnet_of(_MAPPED):
        return network
    prefix = network.prefixlen - _MAPPED.prefixlen
    return IPv4Network((int(network.network_address) % (1 << _IPV4_BITS), prefix))


def _written(network: Network) -> str:
    """As it stands in a YAML list, where an IPv6 address needs quotes."""
    if isinstance(network, IPv4Network):
        return str(network)
    return f'"{str(network).removesuffix("/128")}"'
