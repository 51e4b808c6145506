"""The worlds that access policies are run in: who is trusted, who is not, and who could be.

A new adapter is one more world in ``WORLDS``; the claims are in ``test_access``.
"""

from collections.abc import Callable
from ipaddress import ip_network
from typing import Protocol

import yaml

from mirror.auth.networks import TrustedNetworks
from mirror.ports.access import AccessPolicy, Identity


class World(Protocol):
    """A policy, and clients that it knows or does not know."""

    @property
    def policy(self) -> AccessPolicy: ...

    @property
    def administrator(self) -> Identity:
        """Whom the policy trusts with everything."""

    @property
    def stranger(self) -> Identity:
        """Whom it does not know, and could."""

    @property
    def nobody(self) -> Identity:
        """Whom nothing can make known."""

    def configured(self, advice: str) -> AccessPolicy:
        """The policy after an operator has written what was advised."""


class NetworkWorld:
    policy = TrustedNetworks([ip_network("127.0.0.0/8"), ip_network("::1")])
    administrator = Identity("127.0.0.1")
    stranger = Identity("192.0.2.7")
    nobody = Identity("")

    def configured(self, advice: str) -> AccessPolicy:
        line = yaml.safe_load(advice.partition("mirror.yaml: ")[2])
        return TrustedNetworks([ip_network(each) for each in line["auth"]["trusted_networks"]])


WORLDS: dict[str, Callable[[], World]] = {"trusted networks": NetworkWorld}
