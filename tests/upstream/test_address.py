import pytest

from mirror.upstream.address import AddressKind, kind_of


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("93.184.216.34", AddressKind.PUBLIC),
        ("2606:4700::6810:84e5", AddressKind.PUBLIC),
        ("::ffff:93.184.216.34", AddressKind.PUBLIC),
        ("64:ff9b::5db8:d822", AddressKind.PUBLIC),
        ("10.0.0.1", AddressKind.PRIVATE),
        ("172.16.0.1", AddressKind.PRIVATE),
        ("192.168.1.1", AddressKind.PRIVATE),
        ("fd00:ec2::254", AddressKind.PRIVATE),
        ("fec0::1", AddressKind.PRIVATE),
        ("::ffff:10.1.2.3", AddressKind.PRIVATE),
        ("::10.1.2.3", AddressKind.PRIVATE),
        ("64:ff9b::a01:203", AddressKind.PRIVATE),
        ("64:ff9b:1::a01:203", AddressKind.PRIVATE),
        ("2002:a01:203::", AddressKind.PRIVATE),
        ("192.0.2.1", AddressKind.PRIVATE),
        ("198.18.0.1", AddressKind.PRIVATE),
        ("100.64.0.1", AddressKind.SHARED),
        ("100.100.100.200", AddressKind.SHARED),
        ("::ffff:100.127.255.255", AddressKind.SHARED),
        ("127.0.0.1", AddressKind.LOOPBACK),
        ("127.255.255.254", AddressKind.LOOPBACK),
        ("::1", AddressKind.LOOPBACK),
        ("::ffff:127.0.0.1", AddressKind.LOOPBACK),
        ("::127.0.0.1", AddressKind.LOOPBACK),
        ("64:ff9b::7f00:1", AddressKind.LOOPBACK),
        ("2002:7f00:1::1", AddressKind.LOOPBACK),
        ("169.254.169.254", AddressKind.LINK_LOCAL),
        ("fe80::1", AddressKind.LINK_LOCAL),
        ("fe80::1%eth0", AddressKind.LINK_LOCAL),
        ("::ffff:169.254.169.254", AddressKind.LINK_LOCAL),
        ("224.0.0.1", AddressKind.MULTICAST),
        ("233.252.0.1", AddressKind.MULTICAST),
        ("ff02::1", AddressKind.MULTICAST),
        ("0.0.0.0", AddressKind.UNSPECIFIED),
        ("::", AddressKind.UNSPECIFIED),
        ("::ffff:0.0.0.0", AddressKind.UNSPECIFIED),
        ("240.0.0.1", AddressKind.RESERVED),
        ("255.255.255.255", AddressKind.RESERVED),
        ("registry-1.docker.io", AddressKind.RESERVED),
        ("0x7f.1", AddressKind.RESERVED),
        ("2130706433", AddressKind.RESERVED),
        ("", AddressKind.RESERVED),
    ],
)
def test_an_address_is_what_the_kernel_and_gateways_would_make_of_it(
    text: str, kind: AddressKind
) -> None:
    assert kind_of(text) is kind
