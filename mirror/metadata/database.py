"""Where statements run: writes one after the other, reads beside them.

Which database it is, and how its connections are made, is not known here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from mirror.metadata.lane import Lane

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Database:
    """Three lanes, so that a scan delays no quick read and neither waits for a write.

    The functions given run within one transaction each; what they return must not depend on it
    any more.
    """

    writer: Lane
    reader: Lane
    scanner: Lane

    async def write(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self.writer.run(lambda connection: work(connection, *args, **kwargs))

    async def write_much(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Statements that take long: nobody else's are made to wait for their commit."""
        return await self.writer.run(
            lambda connection: work(connection, *args, **kwargs), alone=True
        )

    async def read(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """One statement that finds what it wants by a key."""
        return await self.reader.run(lambda connection: work(connection, *args, **kwargs))

    async def scan(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Statements that look at many rows, all at the same state."""
        return await self.scanner.run(lambda connection: work(connection, *args, **kwargs))

    async def close(self) -> None:
        """Idempotent. The writer last: SQLite tidies up when the last connection goes."""
        await self.reader.close()
        await self.scanner.close()
        await self.writer.close()
