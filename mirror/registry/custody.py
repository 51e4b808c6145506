"""Who stores a blob and who deletes it take turns, per digest.

Deleting is two steps, the row and then the file; storing is two steps, the file and then the row.
Woven into each other they would leave a row without its file, which nobody can bring back for
what was pushed.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from mirror.oci.digest import Digest


class Custody:
    """In memory: of one process, which is the only one with this data folder."""

    def __init__(self) -> None:
        self._arriving: Counter[Digest] = Counter()
        self._leaving: set[Digest] = set()
        self._left = asyncio.Event()

    @asynccontextmanager
    async def arriving(self, digest: Digest) -> AsyncIterator[None]:
        """Around making the file of a blob and recording it. Waits while it is being deleted."""
        while digest in self._leaving:
            await self._left.wait()
        self._arriving[digest] += 1
        try:
            yield
        finally:
            self._arriving[digest] -= 1
            if not self._arriving[digest]:
                del self._arriving[digest]

    @contextmanager
    def leaving(self, digests: Sequence[Digest]) -> Iterator[Sequence[Digest]]:
        """Around deleting rows and files: those of the digests that may go, in their order.

        What somebody stores or deletes just now is left out. Nobody is waited for.
        """
        free = [d for d in digests if d not in self._arriving and d not in self._leaving]
        self._leaving.update(free)
        try:
            yield free
        finally:
            self._leaving.difference_update(free)
            # Whoever waits now is woken; whoever comes later waits for the next ones.
            self._left.set()
            self._left.clear()
