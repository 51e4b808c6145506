"""How much may be stored, and how much is. Pure but for the sums it keeps."""

from dataclasses import dataclass

from mirror.ports.blobs import Space


@dataclass(frozen=True, slots=True)
class Limits:
    """In bytes. Above ``max_size`` eviction goes down to ``low_size``; ``min_free`` of the file
    system stays free.
    """

    max_size: int
    low_size: int
    min_free: int


@dataclass(frozen=True, slots=True)
class Shortage:
    """``needed`` bytes must go, for the ``reason`` given. ``urgent``: before more is stored."""

    needed: int
    reason: str
    urgent: bool


def shortage(used: int, extra: int, space: Space, limits: Limits) -> Shortage | None:
    """What must go so that ``extra`` more bytes fit; ``None`` when they do."""
    missing = limits.min_free + extra - space.free
    if missing > 0:
        return Shortage(missing, "less than cache.min_free is free", urgent=True)
    if used + extra > limits.max_size:
        return Shortage(used + extra - limits.low_size, "cache.max_size is exceeded", urgent=False)
    return None
