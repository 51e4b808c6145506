"""How much may be stored, and how much is. Pure but for the sums it keeps."""

from dataclasses import dataclass

from mirror.ports.blobs import BlobStore, Space
from mirror.ports.clock import Clock

OUTDATED = 2.0
"""Seconds after which a figure of the store knows of everything that happened before."""


@dataclass(frozen=True, slots=True)
class Limits:
    """In bytes. Above ``max_size`` eviction goes down to ``low_size``, neither counting what is
    hosted; ``min_free`` of the file system stays free.
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
    """What must go so that ``extra`` more bytes fit; ``None`` when they do.

    ``used`` bytes are all that could go.
    """
    missing = limits.min_free + extra - space.free
    if missing > 0:
        return Shortage(missing, "less than cache.min_free is free", urgent=True)
    if used + extra > limits.max_size:
        return Shortage(used + extra - limits.low_size, "cache.max_size is exceeded", urgent=False)
    return None


class FreeSpace:
    """What the store says is free, and what was promised and freed since it said so.

    Its figure is as of about a second ago. Downloads that begin together would all be promised the
    same room, and those that waited for one eviction would each begin another.
    """

    def __init__(self, store: BlobStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._figure: Space | None = None
        self._outdated_at = 0.0
        self._since = 0

    def space(self) -> Space:
        """``free`` is negative when more was promised than there is. Raises StorageError."""
        figure, now = self._store.space(), self._clock.monotonic()
        if figure != self._figure or now >= self._outdated_at:
            self._figure, self._outdated_at, self._since = figure, now + OUTDATED, 0
        return Space(figure.free + self._since, figure.total)

    def promised(self, size: int) -> None:
        """``size`` bytes are going to be written."""
        self._since -= size

    def freed(self, size: int) -> None:
        """``size`` bytes were deleted."""
        self._since += size
