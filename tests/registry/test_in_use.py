"""What is being sent."""

import pytest

from mirror.registry.in_use import InUse
from tests.conformance.metadata import digest

A, B = digest("a"), digest("b")


def test_nothing_is_in_use_before_it_is_held() -> None:
    assert A not in InUse()


def test_each_answer_is_counted() -> None:
    using = InUse()
    with using.hold(A):
        with using.hold(A), using.hold(B):
            assert A in using
            assert B in using
        assert A in using
        assert B not in using
    assert A not in using


def test_an_answer_that_fails_lets_go() -> None:
    using = InUse()
    with pytest.raises(ConnectionError), using.hold(A):
        raise ConnectionError
    assert A not in using


def test_answers_may_end_in_any_order() -> None:
    using = InUse()
    first, second = using.hold(A), using.hold(A)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert A in using
    second.__exit__(None, None, None)
    assert A not in using
