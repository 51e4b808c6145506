"""How we introduce ourselves to an upstream. Where credentials come from is configuration."""

import base64
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Credential:
    """A login for one upstream."""

    username: str
    password: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The value of an ``Authorization`` header."""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode('ascii')}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be seen in a message, a log or an answer."""
        basic = self.basic.removeprefix("Basic ")
        return (self.password, basic) if self.password else (basic,)
