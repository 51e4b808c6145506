from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.config.addresses import (
    ListenAddress,
    is_plain_http_over_network,
    parse_host,
    parse_listen,
    parse_network,
    parse_public_url,
    parse_upstream_name,
    parse_upstream_url,
)
from tests.config.conftest import complaint_of


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:5000", ListenAddress("127.0.0.1", 5000)),
        ("0.0.0.0:80", ListenAddress("0.0.0.0", 80)),
        ("[::1]:5000", ListenAddress("::1", 5000)),
        ("[::]:0", ListenAddress("::", 0)),
        ("LocalHost:65535", ListenAddress("localhost", 65535)),
        ("my_host-1.example.com:1", ListenAddress("my_host-1.example.com", 1)),
    ],
)
def test_listen_addresses(text: str, address: ListenAddress) -> None:
    assert parse_listen(text) == address
    assert str(address) == text.lower()


@pytest.mark.parametrize("text", [":5000", "5000", "*:5000"])
def test_an_address_without_a_host_is_refused_with_both_choices(text: str) -> None:
    complaint = complaint_of(parse_listen, text)
    assert "write 127.0.0.1:5000 for this machine only, 0.0.0.0:5000 for every" in complaint


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("127.0.0.1", "has no port: add one, such as :5000"),
        ("[::1]", "has no port"),
        ("::1:5000", "is not host:port"),
        ("fe80::1:5000", "needs brackets"),
        ("127.0.0.1:65536", "is not a port"),
        ("127.0.0.1:-1", "is not a port"),
        ("127.0.0.1:", "is not a port"),
        ("127.0.0.1:http", "is not a port"),
        ("127.0.0.1:\uff15000", "is not a port"),
        ("127.0.0.256:5000", "is not an IP address"),
        ("[::g]:5000", "is not a host name or an IP address"),
        ("[127.0.0.1]:5000", "is not a host name or an IP address"),
        ("a b:5000", "is not a host name or an IP address"),
        ("http://a:5000", "needs brackets"),
        ("bücher.example:5000", "xn--"),
        (f"{'a.' * 127}a:5000", "is not a host name"),
        (f"{'a' * 64}:5000", "is not a host name"),
        ("", "does not say on which address"),
    ],
)
def test_what_cannot_be_listened_on(text: str, advice: str) -> None:
    assert advice in complaint_of(parse_listen, text)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://ghcr.io", "https://ghcr.io"),
        ("https://GHCR.io/", "https://ghcr.io"),
        ("HTTPS://ghcr.io", "https://ghcr.io"),
        ("http://[::1]:5000", "http://[::1]:5000"),
        (
            "https://example.com:8443/artifactory/hub-1/",
            "https://example.com:8443/artifactory/hub-1",
        ),
    ],
)
def test_upstream_urls(text: str, url: str) -> None:
    assert parse_upstream_url(text) == url


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("ghcr.io", "must begin with https:// or http://"),
        ("", "must begin with https:// or http://"),
        ("ftp://ghcr.io", "must begin with https:// or http://"),
        ("https://", "must begin with https:// or http://"),
        ("https:ghcr.io", "must begin with https:// or http://"),
        ("https://ghcr.io?x", "nothing after ? or #"),
        ("https://ghcr.io#", "nothing after ? or #"),
        ("https://ghcr.io/v2/", "without /v2"),
        ("https://ghcr.io/a//b", "has a path that is not one"),
        ("https://ghcr.io/a b", "contains a space"),
        ("https://gh\tcr.io", "contains a space"),
        ("https:\\\\ghcr.io", "a backslash"),
        ("https://[::1", "is not a URL"),
        ("https://ghcr.io:0", "is not a port"),
        ("https://ghcr.io:99999", "is not a port"),
        ("https://ghcr..io", "is not a host name"),
    ],
)
def test_what_is_no_upstream_url(text: str, advice: str) -> None:
    assert advice in complaint_of(parse_upstream_url, text)


@pytest.mark.parametrize("url", ["https://me:hunter2@ghcr.io", "https://me:hunter2@gh cr.io"])
@pytest.mark.parametrize("parse", [parse_upstream_url, parse_public_url, parse_host])
def test_a_password_in_a_url_is_refused_and_not_repeated(parse: type[str], url: str) -> None:
    assert "hunter2" not in complaint_of(parse, url)


def test_a_public_url_has_no_path() -> None:
    assert parse_public_url("https://mirror.example.com/") == "https://mirror.example.com"
    assert "must have no path" in complaint_of(parse_public_url, "https://example.com/mirror")


@pytest.mark.parametrize("text", ["auth.docker.io", "localhost:5001", "[::1]:443", "10.0.0.1"])
def test_hosts(text: str) -> None:
    assert parse_host(text.upper()) == text


def test_a_host_is_no_url() -> None:
    assert "without https:// and path" in complaint_of(parse_host, "https://auth.docker.io")


@pytest.mark.parametrize(
    "text",
    ["docker.io", "registry.example.com:5000", "localhost", "hub", "a__b", "a--b", "[::1]:5000"],
)
def test_upstream_names(text: str) -> None:
    assert parse_upstream_name(text) == text


@pytest.mark.parametrize(
    "text", ["", "Docker.io", "a/b", "a b", "-a", ".a", "a..b", "ghcr.io:", "ghcr.io:0", "é", "a@b"]
)
def test_what_cannot_name_an_upstream(text: str) -> None:
    assert "cannot be an upstream's name" in complaint_of(parse_upstream_name, text)


def test_networks() -> None:
    assert parse_network("10.0.0.0/8") == ip_network("10.0.0.0/8")
    assert parse_network("192.168.1.7") == ip_network("192.168.1.7/32")
    assert parse_network("::1") == ip_network("::1/128")
    assert complaint_of(parse_network, "10.1.2.3/8").endswith("write 10.0.0.0/8")
    assert "is not a network" in complaint_of(parse_network, "10.0.0.0/33")
    assert "is not a network" in complaint_of(parse_network, "example.com")


@pytest.mark.parametrize(
    ("url", "readable"),
    [
        ("https://example.com", False),
        ("http://example.com", True),
        ("http://10.0.0.1:5000", True),
        ("http://localhost:5000", False),
        ("http://127.9.9.9:5000", False),
        ("http://[::1]:5000", False),
        ("http://localhost.example.com", True),
    ],
)
def test_plain_http_is_safe_on_this_machine_only(url: str, *, readable: bool) -> None:
    assert is_plain_http_over_network(url) is readable


@given(st.text(alphabet=st.sampled_from(list("ahtps:/[].@#?%\\ \t\n%0915é-_*\x00")), max_size=20))
def test_any_text_is_read_or_refused_in_one_printable_line(text: str) -> None:
    parsers = (parse_listen, parse_host, parse_upstream_url, parse_public_url, parse_network)
    for parse in (*parsers, parse_upstream_name):
        assert complaint_of(parse, text).isprintable()


@given(st.text(alphabet=st.sampled_from(list("ab:/[].015-")), max_size=12))
def test_a_url_that_was_read_reads_as_itself(rest: str) -> None:
    try:
        url = parse_upstream_url(f"https://{rest}")
    except ValueError:
        return
    assert parse_upstream_url(url) == url
