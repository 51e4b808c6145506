import json

import pytest
from yarl import URL

from mirror.upstream.realm import TokenService
from mirror.upstream.token import Token, TokenQuestion, parse_token

REALM = "https://auth.docker.io/token"
QUESTION = TokenQuestion(TokenService(URL(REALM), "registry.docker.io"), "repository:a/b:pull")


def parsed(**members: object) -> Token | None:
    return parse_token(json.dumps(members).encode(), QUESTION, now=1000.0)


def life(token: Token | None) -> float:
    assert token is not None
    return token.expires_at - 1000.0


@pytest.mark.parametrize(
    ("realm", "service", "url"),
    [
        (REALM, "s", f"{REALM}?service=s&scope=repository%3Aa%2Fb%3Apull"),
        (REALM, None, f"{REALM}?scope=repository%3Aa%2Fb%3Apull"),
        (f"{REALM}?x=%2f", None, f"{REALM}?x=%2f&scope=repository%3Aa%2Fb%3Apull"),
        (REALM, "a b&c=d#", f"{REALM}?service=a+b%26c%3Dd%23&scope=repository%3Aa%2Fb%3Apull"),
    ],
)
def test_the_question(realm: str, service: str | None, url: str) -> None:
    asked = TokenService(URL(realm, encoded=True), service)
    assert str(TokenQuestion(asked, "repository:a/b:pull").url) == url


def test_either_name_of_the_token_will_do() -> None:
    for members in ({"token": "t"}, {"access_token": "t"}, {"token": "u", "access_token": "t"}):
        token = parsed(**members)
        assert token is not None
        assert token.authorization == "Bearer t"


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [
        (300, 300.0),
        (60, 60.0),
        (2, 60.0),
        (0, 60.0),
        (-5, 60.0),
        (900.5, 900.5),
        (None, 60.0),
        ("300", 60.0),
        ([], 60.0),
        (10**30, 24 * 3600.0),
    ],
)
def test_how_long_a_token_holds(expires_in: object, seconds: float) -> None:
    token = parsed(token="t", expires_in=expires_in)
    assert life(token) == pytest.approx(seconds)
    assert token is not None
    assert token.renew_at == pytest.approx(1000.0 + 0.8 * seconds)


def test_without_a_word_about_it_a_token_holds_a_minute() -> None:
    assert life(parsed(token="t")) == 60.0


def test_the_other_clock_does_not_matter() -> None:
    assert life(parsed(token="t", expires_in=300, issued_at="1999-01-01T00:00:00Z")) == 300.0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"<html>Log in</html>",
        b'{"token": ""}',
        b'{"token": null}',
        b'{"token": 5}',
        b'{"token": "a b"}',
        b'{"token": "a\\r\\nX-Evil: b"}',
        b'{"token": "\\u00e9"}',
        b'{"token": "\xff"}',
        b'{"details": "incorrect username or password"}',
        b'{"x":' * 100_000,
    ],
)
def test_what_holds_no_token(content: bytes) -> None:
    assert parse_token(content, QUESTION, now=0.0) is None


def test_a_token_is_not_shown() -> None:
    token = parsed(token="very-secret")
    assert "very-secret" not in repr(token)
