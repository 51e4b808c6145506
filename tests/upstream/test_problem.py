from datetime import UTC, datetime

import pytest

from mirror.upstream.problem import Problem, parse_problem, parse_retry_after

NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"errors":[{"code":"DENIED","message":"no"}]}', Problem("DENIED", "no")),
        (b'{"errors":[{"code":"toomanyrequests"}]}', Problem("TOOMANYREQUESTS", "")),
        (b'{"errors":[{"code":"A"},{"code":"B"}],"x":1}', Problem("A", "")),
        (b'{"errors":[]}', None),
        (b'{"errors":null}', None),
        (b'{"details":"wrong"}', None),
        (b"[]", None),
        (b"", None),
        (b"<html>", None),
        (b'{"errors":' * 10_000, None),
        (b'{"errors":[{"code":1}]}', None),
    ],
)
def test_the_error_document(content: bytes, problem: Problem | None) -> None:
    assert parse_problem(content) == problem


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("0", 1.0),
        ("30", 30.0),
        (" 30 ", 30.0),
        ("9" * 400, 86400.0),
        ("Mon, 06 May 2024 07:09:09 GMT", 60.0),
        ("Mon, 06 May 2024 07:09:09", 60.0),
        ("Mon, 06 May 2024 06:00:00 GMT", 1.0),
        ("Mon, 06 May 2034 06:00:00 GMT", 86400.0),
        ("Mon, 99 May 2024 06:00:00 GMT", None),
    ],
)
def test_when_to_come_back(text: str | None, seconds: float | None) -> None:
    assert parse_retry_after(text, NOW) == seconds
