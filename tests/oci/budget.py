"""Processor time as a claim: what must stay linear fails here when it becomes quadratic."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def cpu_budget(seconds: float) -> Iterator[None]:
    """Counts this process only, so that a busy machine does not fail the test."""
    before = time.process_time()
    yield
    spent = time.process_time() - before
    assert spent < seconds, f"took {spent:.3f} s of processor time, {seconds} s are allowed"
