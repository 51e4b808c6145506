"""Processor time as a claim: what must stay linear fails here when it becomes quadratic."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

SLACK = 8
"""A core that is shared counts several times what a quiet one does; what is quadratic by mistake
takes thousands of times as long.
"""


@contextmanager
def cpu_budget(seconds: float) -> Iterator[None]:
    """What a quiet core takes at most. Counts this process only, and with SLACK."""
    before = time.process_time()
    yield
    spent = time.process_time() - before
    allowed = seconds * SLACK
    assert spent < allowed, f"took {spent:.3f} s of processor time, {allowed} s are allowed"
