"""Counting what went on with an upstream."""

from dataclasses import dataclass


@dataclass(slots=True)
class Tally:
    """Since the start of the process.

    ``requests`` are all HTTP requests, ``tokens`` those of them that went to token services.
    ``errors`` are attempts that failed, ``bytes`` those of all bodies received.
    """

    requests: int = 0
    errors: int = 0
    bytes: int = 0
    tokens: int = 0
