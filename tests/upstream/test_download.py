from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.ports.upstream import UpstreamError, UpstreamInvalid, UpstreamUnreachable
from mirror.upstream.download import Plan, Span, cut, plan_download

WHOLE = Span(0, None)


@pytest.mark.parametrize(
    ("status", "content_range", "length", "span", "plan"),
    [
        (200, None, 10, WHOLE, Plan(10, 0, 10, 10)),
        (200, None, 0, WHOLE, Plan(0, 0, 0, 0)),
        (200, None, None, WHOLE, Plan(None, 0, None, None)),
        (200, None, 10, Span(4, None), Plan(10, 4, 6, 6)),
        (200, None, 10, Span(4, 6), Plan(10, 4, 2, 6)),
        (200, None, 10, Span(4, 99), Plan(10, 4, 6, 6)),
        (200, None, None, Span(4, None), Plan(None, 4, None, None)),
        (200, None, None, Span(4, 6), Plan(None, 4, 2, None)),
        (206, "bytes 4-9/10", 6, Span(4, None), Plan(10, 0, 6, 6)),
        (206, "bytes 4-9/10", None, Span(4, None), Plan(10, 0, 6, 6)),
        (206, "bytes 4-9/*", 6, Span(4, None), Plan(None, 0, 6, 6)),
        (206, "bytes 4-5/10", 2, Span(4, 6), Plan(10, 0, 2, 2)),
        (206, "bytes 4-9/10", 6, Span(4, 99), Plan(10, 0, 6, 6)),
        (206, "bytes 0-0/10", 1, Span(0, 1), Plan(10, 0, 1, 1)),
        # Fewer than could be had: the rest is missed in the end.
        (206, "bytes 4-7/10", 4, Span(4, None), Plan(10, 0, 6, 4)),
        (206, "bytes 4-7/*", 4, Span(4, 10), Plan(None, 0, 6, 4)),
    ],
)
def test_how_to_get_a_span(
    status: int, content_range: str | None, length: int | None, span: Span, plan: Plan
) -> None:
    assert plan_download(status, content_range, length, span) == plan


@pytest.mark.parametrize(
    ("status", "content_range", "length", "span"),
    [
        (206, "bytes 0-9/10", 10, WHOLE),  # nobody asked for a part
        (204, None, 0, WHOLE),
        (206, None, 6, Span(4, None)),
        (206, "bytes */10", 6, Span(4, None)),
        (206, "items 4-9/10", 6, Span(4, None)),
        (206, "bytes 5-9/10", 5, Span(4, None)),
        (206, "bytes 3-9/10", 7, Span(4, None)),
        (206, "bytes 0-9/10", 10, Span(4, None)),
        (206, "bytes 4-9/10", 6, Span(4, 6)),
        (206, "bytes 4-9/10", 5, Span(4, None)),
        (206, "bytes 4-9/10", 7, Span(4, None)),
        (206, "bytes 9-4/10", 6, Span(4, None)),
        (206, "bytes 4-10/10", 7, Span(4, None)),
        (200, None, 4, Span(4, None)),
        (200, None, 3, Span(4, None)),
        (200, None, 0, Span(4, None)),
        (416, "bytes */10", 0, Span(4, None)),
    ],
)
def test_answers_that_cannot_hold_the_span(
    status: int, content_range: str | None, length: int | None, span: Span
) -> None:
    assert isinstance(plan_download(status, content_range, length, span), str)


async def body_of(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def delivered(chunks: Sequence[bytes], plan: Plan) -> tuple[bytes, UpstreamError | None]:
    received = b""
    try:
        async for chunk in cut(body_of(chunks), plan, "cdn.example"):
            assert chunk
            received += chunk
    except UpstreamError as error:
        return received, error
    return received, None


def pieces(content: bytes, sizes: Sequence[int]) -> list[bytes]:
    chunks = []
    for size in sizes:
        chunks.append(content[:size])
        content = content[size:]
    return [chunk for chunk in (*chunks, content) if chunk]


CONTENT = bytes(range(100))
sizes = st.lists(st.integers(1, 40), max_size=12)


@given(start=st.integers(0, 99), stop=st.integers(1, 120) | st.none(), sizes=sizes)
async def test_a_200_yields_exactly_the_span(
    start: int, stop: int | None, sizes: list[int]
) -> None:
    if stop is not None and stop <= start:
        stop = None
    for length in (100, None):
        plan = plan_download(200, None, length, Span(start, stop))
        assert isinstance(plan, Plan)
        received, error = await delivered(pieces(CONTENT, sizes), plan)
        assert received == CONTENT[start:stop]
        # Without a length a span that goes past the end cannot be told from a cut one.
        assert (error is not None) == (length is None and stop is not None and stop > 100)


@given(start=st.integers(1, 99), sizes=sizes, missing=st.integers(1, 100))
async def test_a_body_that_ends_early_says_so(start: int, sizes: list[int], missing: int) -> None:
    plan = plan_download(206, f"bytes {start}-99/100", None, Span(start, None))
    assert isinstance(plan, Plan)
    sent = CONTENT[start : max(start, 100 - missing)]
    received, error = await delivered(pieces(sent, sizes), plan)
    assert received == sent
    assert isinstance(error, UpstreamUnreachable)
    assert "ended early" in str(error)


@given(start=st.integers(1, 99), sizes=sizes, surplus=st.binary(min_size=1, max_size=50))
async def test_a_body_that_goes_on_is_cut_and_says_so(
    start: int, sizes: list[int], surplus: bytes
) -> None:
    plan = plan_download(206, f"bytes {start}-99/100", None, Span(start, None))
    assert isinstance(plan, Plan)
    received, error = await delivered(pieces(CONTENT[start:] + surplus, sizes), plan)
    assert received == CONTENT[start:]
    assert isinstance(error, UpstreamInvalid)
    assert "more bytes" in str(error)


async def test_a_body_that_ends_before_the_start_says_so() -> None:
    received, error = await delivered([b"abc"], Plan(None, 10, None, None))
    assert received == b""
    assert isinstance(error, UpstreamUnreachable)
