"""How values of ours become columns of a database, and back."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import BigInteger, Dialect, Integer, String, Text
from sqlalchemy.types import TypeDecorator

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.errors import DigestInvalid
from mirror.ports.metadata import MetadataError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)

# Order must be that of bytes: places in a listing are compared here as well as in the database.
PlainText = Text().with_variant(String(collation="C"), "postgresql")
RowId = BigInteger().with_variant(Integer, "sqlite")


class Time(TypeDecorator[datetime]):
    """An aware datetime as microseconds since 1970: exact, ordered, the same in every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - the library passes it
        return None if value is None else (value - _EPOCH) // _TICK

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the library passes it
        if value is None:
            return None
        try:
            return _EPOCH + timedelta(microseconds=value)
        except (TypeError, OverflowError) as error:
            raise MetadataError(f"the metadata are damaged: {value!r} is no time") from error


class DigestText(TypeDecorator[Digest]):
    """A digest as people write it, so that operators can search for it."""

    impl = PlainText
    cache_ok = True

    def process_bind_param(self, value: Digest | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - the library passes it
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Digest | None:  # noqa: ARG002 - the library passes it
        return None if value is None else parse_stored(value)


def parse_stored(text: str) -> Digest:
    """For statements whose rows are many, and tell the same digest often."""
    try:
        return parse_digest(text)
    except (TypeError, DigestInvalid) as error:
        raise MetadataError(f"the metadata are damaged: {error}") from error
