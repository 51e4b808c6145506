"""What kind of place an IP address is. Pure; who may connect where is decided by the guard."""

from enum import Enum
from ipaddress import (
    IPv4Address,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

_SHARED = ip_network("100.64.0.0/10")
_SITE_LOCAL = ip_network("fec0::/10")
_NAT64 = IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")
_COMPATIBLE = IPv6Network("::/96")
_LOW_32_BITS = 0xFFFFFFFF


class AddressKind(Enum):
    """``SHARED`` is that of carrier-grade NAT, ``RESERVED`` whatever nobody should be at."""

    PUBLIC = "public"
    PRIVATE = "private"
    SHARED = "shared"
    LOOPBACK = "loopback"
    LINK_LOCAL = "link-local"
    MULTICAST = "multicast"
    UNSPECIFIED = "unspecified"
    RESERVED = "reserved"


def kind_of(text: str) -> AddressKind:
    """``RESERVED`` for what is no address. An IPv4 address inside an IPv6 one counts as itself."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return AddressKind.RESERVED
    if isinstance(address, IPv6Address) and (inner := _embedded(address)) is not None:
        address = inner
    return _kind(address)


def _kind(address: IPv4Address | IPv6Address) -> AddressKind:
    if address.is_unspecified:
        return AddressKind.UNSPECIFIED
    if address.is_loopback:
        return AddressKind.LOOPBACK
    if address.is_link_local:
        return AddressKind.LINK_LOCAL
    if address.is_multicast:
        return AddressKind.MULTICAST
    if address in _SHARED:
        return AddressKind.SHARED
    if address in _SITE_LOCAL or address in _NAT64_LOCAL:
        return AddressKind.PRIVATE
    if address.is_global:
        return AddressKind.PUBLIC
    return AddressKind.RESERVED if address.is_reserved else AddressKind.PRIVATE


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a gateway or the kernel would make of it."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    is_compatible = address in _COMPATIBLE and int(address) > 1
    if address in _NAT64 or is_compatible:
        return IPv4Address(int(address) & _LOW_32_BITS)
    return None
