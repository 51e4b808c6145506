import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from mirror.upstream.origin import Origin, origin_of, parse_remote_url

BASE = URL("https://registry-1.docker.io/v2/library/nginx/blobs/sha256:aa?ns=x", encoded=True)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://auth.docker.io/token", Origin("https", "auth.docker.io", 443)),
        ("https://auth.docker.io", Origin("https", "auth.docker.io", 443)),
        ("https://auth.docker.io?a=b", Origin("https", "auth.docker.io", 443)),
        ("HTTPS://AUTH.docker.IO:443/", Origin("https", "auth.docker.io", 443)),
        ("http://registry.lan:5000/v2/", Origin("http", "registry.lan", 5000)),
        ("http://[::1]:5000/", Origin("http", "::1", 5000)),
        ("https://my_host-1.example/", Origin("https", "my_host-1.example", 443)),
    ],
)
def test_the_origin_of_a_url(text: str, origin: Origin) -> None:
    url = parse_remote_url(text)
    assert url is not None
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/token",
        "auth.docker.io/token",
        "//auth.docker.io/token",
        "ftp://auth.docker.io/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https:auth.docker.io",
        "https:/auth.docker.io",
        "https:///auth.docker.io",
        "https://",
        "https://:443/",
        "https://user@auth.docker.io/",
        "https://user:word@auth.docker.io/",
        "https://@auth.docker.io/",
        "https://auth.docker.io:443@evil.example/",
        "https://auth.docker.io\\@evil.example/",
        "https://auth.docker.io\\.evil.example/",
        "https:\\\\auth.docker.io\\",
        "https://auth.docker.io /",
        " https://auth.docker.io/",
        "https://auth.docker.io/\r\nX: y",
        "https://auth.docker.io/\t",
        "https://auth.docker.io\x00/",
        "https://\u0430uth.docker.io/",
        "https://auth.docker.io/\u00fc",
        "https://auth\u3002docker\u3002io/",
        "https://auth.docker.io%2eevil.example/",
        "https://auth.docker.io;evil/",
        "https://auth.docker.io,evil/",
        "https://auth.docker.io:0/",
        "https://auth.docker.io:99999/",
        "https://auth.docker.io:-1/",
        "https://auth.docker.io:4x3/",
        "https://auth.docker.io:/",
        "https://auth.docker.io./",
        "https://127.1/",
        "https://0x7f.0.0.1/",
        "https://127.0.0.0x1/",
        "https://0177.0.0.1/",
        "https://2130706433/",
        "https://1.2.3.4.5/",
        "https://example.0/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://[v1.x]/",
    ],
)
def test_what_two_readers_could_take_for_different_places_is_no_url(text: str) -> None:
    assert parse_remote_url(text) is None


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/elsewhere", "https://registry-1.docker.io/elsewhere"),
        ("sha256:bb", None),  # looks like a scheme
        ("./other", "https://registry-1.docker.io/v2/library/nginx/blobs/other"),
        ("../up?q=%2f", "https://registry-1.docker.io/v2/library/nginx/up?q=%2f"),
        ("?q=1", "https://registry-1.docker.io/v2/library/nginx/blobs/sha256:aa?q=1"),
        ("//cdn.example/x", "https://cdn.example/x"),
        ("//user@cdn.example/x", None),
        ("///cdn.example/x", None),
        ("/\\cdn.example/x", None),
        ("https://cdn.example/x", "https://cdn.example/x"),
        ("https:x", None),
        ("https://cdn.example/x#y", "https://cdn.example/x"),
    ],
)
def test_relative_addresses_are_resolved(location: str, target: str | None) -> None:
    url = parse_remote_url(location, BASE)
    assert (None if url is None else str(url)) == target


@given(query=st.text("%20fFkK+/?=&:@!$'()*,;~._-|^`{}<>\"[]", max_size=60))
def test_not_a_byte_of_a_query_is_changed(query: str) -> None:
    text = f"https://cdn.example/a%2Fb/x~y?{query}"
    url = parse_remote_url(text, BASE)
    assert url is not None
    expected = text if query else text.removesuffix("?")
    assert str(url) == expected
    assert url.raw_query_string == query
