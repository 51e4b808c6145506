"""Who may do what. Until users are configured, the network a client comes from decides."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class Action(Enum):
    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks. ``address`` is that of the connection, never one from a header."""

    address: str


class AccessPolicy(Protocol):
    """Pure: no await, no I/O."""

    def allows(self, identity: Identity, action: Action) -> bool: ...

    def advice(self, identity: Identity, action: Action) -> str:
        """The line of configuration that would allow it."""
