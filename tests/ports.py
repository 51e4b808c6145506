"""Ports for servers that must know theirs before they start."""

import random
import socket

LEAST, MOST = 20_000, 32_000
"""Below those that systems give to outgoing connections, so that none of these takes it first."""


def free_port() -> int:
    while True:
        port = random.randint(LEAST, MOST)  # noqa: S311 - guards nothing
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
