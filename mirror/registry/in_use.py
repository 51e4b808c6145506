"""Which content is being sent right now, so that eviction leaves it alone."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from mirror.oci.digest import Digest


class InUse:
    """Digests with open answers, counted."""

    def __init__(self) -> None:
        self._counts: Counter[Digest] = Counter()

    def __contains__(self, digest: Digest) -> bool:
        return digest in self._counts

    @contextmanager
    def hold(self, digest: Digest) -> Iterator[None]:
        self._counts[digest] += 1
        try:
            yield
        finally:
            self._counts[digest] -= 1
            if not self._counts[digest]:
                del self._counts[digest]
