"""How many files and connections this process may have open at once."""

import resource
from contextlib import suppress

ENOUGH = 1024 * 1024
"""What Linux allows any process by default (``fs.nr_open``)."""


def allow_many_descriptors() -> None:
    """As many as the system lets us have.

    What shells and service managers give, mostly 1024, is for programs that call ``select``. Each
    client that is sent a blob takes two here. When they run out nevertheless, the listener says so.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return
    allowed = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft < allowed:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
