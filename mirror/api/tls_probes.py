"""Clients that speak TLS to this server, which does not: how they are known, and what is said.

A flood of them is no flood of lines: Docker tries https before http at every pull from a registry
that it was told is insecure, and scanners never stop.
"""

import logging

from mirror.ports.clock import Clock

log = logging.getLogger(__name__)

QUIET = 3600.0
"""Seconds from one line to the next, which says how many there were in between."""

_HANDSHAKE = b"\x16"
"""How a record that begins a TLS connection begins, and no request.

https://www.rfc-editor.org/rfc/rfc8446#section-5.1
"""

_ADVICE = (
    "speaks https to this port, which speaks http; if its pulls fail, list this server under"
    " insecure-registries (Docker), or give its address with http:// (containerd) or as"
    " insecure = true (podman)"
)


def is_tls(beginning: bytes) -> bool:
    """Whether a connection that begins so is meant to be a TLS one."""
    return beginning.startswith(_HANDSHAKE)


class TlsProbes:
    """All of one server."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._quiet_until = float("-inf")
        self._untold = 0

    def met(self, client: str) -> None:
        """Another one, from this address."""
        now = self._clock.monotonic()
        if now < self._quiet_until:
            self._untold += 1
            return
        since = f" ({self._untold} more did since this was last said)" if self._untold else ""
        log.info("client %s %s%s", client, _ADVICE, since)
        self._quiet_until, self._untold = now + QUIET, 0
