"""What the composition root says about one upstream, as plain values."""

import ssl
from dataclasses import dataclass, field

from mirror.upstream.credentials import Credential


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds. There is no limit on a whole download: large layers take their time."""

    connect: float = 5.0
    """Name resolution, TCP and TLS."""
    headers: float = 10.0
    """From the request to the end of the answer's headers, and then for a small body whole."""
    progress: float = 30.0
    """Within each such period a body must bring 1 KiB for every second of it."""


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """``name`` is the configured one (``docker.io``), ``url`` the registry's without ``/v2/``.

    ``realms`` are hosts (``host`` or ``host:port``) that may receive our credentials, besides the
    one in ``url``. ``instance`` names this server in the ``Via`` header, by which it notices its
    own requests when two mirrors are each other's upstream. ``tls`` replaces the system's trust.
    """

    name: str
    url: str
    realms: tuple[str, ...] = ()
    credential: Credential | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    instance: str | None = None
    tls: ssl.SSLContext | None = None
