"""Who is trusted, whatever the kernel makes of its address, and what the others are told."""

from ipaddress import IPv6Network, ip_network

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mirror.auth.networks import Network, TrustedNetworks
from mirror.ports.access import Action, Identity

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1"))


def administers(address: str, *networks: Network) -> bool:
    return TrustedNetworks(networks or LOOPBACK).allows(Identity(address), Action.ADMIN)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "::FFFF:7f00:1"]
)
def test_an_address_in_a_trusted_network_administers(address: str) -> None:
    assert administers(address)


@pytest.mark.parametrize(
    "address",
    [
        "192.0.2.7",
        "128.0.0.1",
        "::ffff:192.0.2.7",
        "::2",
        "::127.0.0.1",  # deprecated, and not the mapped form
        "64:ff9b::7f00:1",
        "0.0.0.0",
        "",
        "localhost",
        "127.0.0.1:5000",
        "127.0.0.1, 192.0.2.7",
        " 127.0.0.1",
        "127.1",
        "0x7f.0.0.1",
        "127.0.0.01",
        "/run/mirror.sock",
        "\x00127.0.0.1",
        "١٢٧.0.0.1",
    ],
)
def test_any_other_address_does_not(address: str) -> None:
    assert not administers(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "192.0.2.7", "", "garbage"])
def test_everyone_pulls(address: str) -> None:
    assert TrustedNetworks(()).allows(Identity(address), Action.PULL)


def test_nobody_administers_where_no_network_is_trusted() -> None:
    assert not TrustedNetworks(()).allows(Identity("127.0.0.1"), Action.ADMIN)


def test_a_network_in_mapped_form_means_its_ipv4_clients() -> None:
    network = ip_network("::ffff:192.0.2.0/120")
    assert administers("192.0.2.7", network)
    assert administers("::ffff:192.0.2.7", network)
    assert not administers("192.0.3.7", network)


def test_trust_in_all_of_ipv6_is_no_trust_in_ipv4() -> None:
    assert not administers("::ffff:192.0.2.7", IPv6Network("::/0"))


def test_a_link_local_peer_is_known_by_its_address_on_any_interface() -> None:
    assert administers("fe80::1%eth0", ip_network("fe80::/64"))
    assert not administers("fe80::1%eth0", ip_network("fe80:0:0:1::/64"))


@given(st.text())
def test_no_text_raises(text: str) -> None:
    policy = TrustedNetworks(LOOPBACK)
    policy.allows(Identity(text), Action.ADMIN)
    assert "auth.trusted_networks" in policy.advice(Identity(text), Action.ADMIN)


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("2001:db8::7", "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_the_advice_is_a_line_that_works(address: str, written: str) -> None:
    advice = TrustedNetworks(LOOPBACK).advice(Identity(address), Action.ADMIN)
    line = advice.partition("mirror.yaml: ")[2]
    networks = yaml.safe_load(line)["auth"]["trusted_networks"]
    assert networks == ["127.0.0.0/8", "::1", written]
    assert administers(address, *[ip_network(network) for network in networks])


def test_the_advice_reads_as_documented() -> None:
    assert TrustedNetworks(LOOPBACK).advice(Identity("192.0.2.7"), Action.ADMIN) == (
        "add the client's network to auth.trusted_networks in mirror.yaml:"
        ' auth: {trusted_networks: [127.0.0.0/8, "::1", 192.0.2.7/32]}'
    )
