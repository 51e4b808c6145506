"""Time, injected so that tests can set it."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware UTC wall time: for records and logs."""

    def monotonic(self) -> float:
        """Seconds that never go back: for waits and lifetimes."""
