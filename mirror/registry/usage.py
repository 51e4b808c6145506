"""When content was last used, kept in memory and written in batches."""

from datetime import datetime

from mirror.ports.clock import Clock
from mirror.ports.metadata import UsageStore, Use


class Usage:
    """Touched on every hit, so it must cost nothing; a crash loses seconds of it at most."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._uses: dict[Use, datetime] = {}

    def touch(self, use: Use) -> None:
        self._uses[use] = self._clock.now()

    def __contains__(self, use: Use) -> bool:
        """Whether it was used since the last flush."""
        return use in self._uses

    def __len__(self) -> int:
        return len(self._uses)

    async def flush(self, store: UsageStore) -> None:
        """Write what was used since the last flush. Nothing is lost when it fails."""
        uses, self._uses = self._uses, {}
        if not uses:
            return
        try:
            await store.record_uses(uses)
        except BaseException:
            self._uses = uses | self._uses
            raise
