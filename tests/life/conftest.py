"""What the tests of whole servers share: the one place where servers are started."""

from collections.abc import Iterator

import pytest

from tests.life.process import Nursery


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery
