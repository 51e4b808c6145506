"""What must go so that more fits."""

import pytest

from mirror.ports.blobs import Space
from mirror.registry.room import Limits, Shortage, shortage

LIMITS = Limits(max_size=1000, low_size=900, min_free=50)
FREE = "less than cache.min_free is free"
SIZE = "cache.max_size is exceeded"


@pytest.mark.parametrize(
    ("used", "extra", "free", "short"),
    [
        (0, 0, 10_000, None),
        (900, 0, 10_000, None),
        (1000, 0, 10_000, None),
        (900, 100, 10_000, None),
        (1001, 0, 10_000, Shortage(101, SIZE, urgent=False)),
        (900, 101, 10_000, Shortage(101, SIZE, urgent=False)),
        (0, 1001, 10_000, Shortage(101, SIZE, urgent=False)),
        (0, 0, 50, None),
        (0, 0, 49, Shortage(1, FREE, urgent=True)),
        (0, 100, 150, None),
        (0, 100, 149, Shortage(1, FREE, urgent=True)),
        # The disk comes first: nothing can be stored before it has room.
        (5000, 100, 0, Shortage(150, FREE, urgent=True)),
    ],
)
def test_shortage(used: int, extra: int, free: int, short: Shortage | None) -> None:
    assert shortage(used, extra, Space(free, 20_000), LIMITS) == short
