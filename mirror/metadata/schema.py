"""The tables. How they came to be so, version by version, is in ``migrations``.

Lists that grow with the content are clustered by their key where the database can (SQLite's
WITHOUT ROWID): half the size, and one search instead of two.

Lists about blobs hold the number of a digest, not its text. Numbers are given as digests become
known, so what came together, and goes together, lies together: an eviction changes one page for
many rows where it would change one for each. Only the unique text itself is in no such order.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)

from mirror.metadata.columns import DigestText, PlainText, RowId, Time

SCHEMA_VERSION = "0001"
"""The revision in ``migrations`` that makes these tables. Later ones sort after earlier ones."""

BLOB = "blob"
CHILD = "manifest"
SUBJECT = "subject"
SELF = "self"
NEEDS = (BLOB, SELF)
"""References that keep bytes alive. ``SELF`` stands for the manifest's own bytes."""

HOSTED = ""
"""The upstream of a hosted repository: NULL would make unique keys of it pointless."""

PROXIED_LINK = datetime(1970, 1, 1, tzinfo=UTC)
"""When a proxied repository was linked to a blob: never asked, and outside the index."""

LONG_AGO = PROXIED_LINK + timedelta(microseconds=1)
"""When a hosted repository was linked to a blob, as far as nobody said."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

schema_versions = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), primary_key=True),
)

repositories = Table(
    "repositories",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("upstream", PlainText, nullable=False),
    Column("name", PlainText, nullable=False),
    UniqueConstraint("upstream", "name"),
)

tags = Table(
    "tags",
    metadata,
    Column("repository_id", ForeignKey("repositories.id"), primary_key=True),
    Column("tag", PlainText, primary_key=True),
    Column("digest", DigestText, nullable=False),
    Column("media_type", PlainText, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("confirmed_at", Time, nullable=False),
    Index(None, "repository_id", "digest"),
    sqlite_with_rowid=False,
)

manifests = Table(
    "manifests",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("repository_id", ForeignKey("repositories.id"), nullable=False),
    Column("digest", DigestText, nullable=False),
    Column("media_type", PlainText, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("stored_at", Time, nullable=False),
    Column("last_used_at", Time, nullable=False),
    UniqueConstraint("repository_id", "digest"),
    Index(None, "digest"),
    Index(None, "last_used_at", "id"),
)

# Every digest that is stored, linked or referred to, and no other.
digests = Table(
    "digests",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("digest", DigestText, nullable=False),
    UniqueConstraint("digest"),
)

# What a manifest refers to is kept for each repository that has it, although it follows from the
# bytes: so every question about one repository is one search, whatever other repositories have.
manifest_references = Table(
    "manifest_references",
    metadata,
    Column(
        "manifest_id",
        ForeignKey("manifests.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("kind", PlainText, primary_key=True),
    Column("child_id", ForeignKey("digests.id"), primary_key=True),
    Column("repository_id", ForeignKey("repositories.id"), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("media_type", PlainText, nullable=False),
    Column("platform", PlainText),
    CheckConstraint(f"kind IN ('{BLOB}', '{CHILD}', '{SUBJECT}', '{SELF}')", name="kind"),
    Index(None, "child_id", "repository_id", "kind"),
    sqlite_with_rowid=False,
)

# Those that are stored.
blobs = Table(
    "blobs",
    metadata,
    Column("digest_id", ForeignKey("digests.id"), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("stored_at", Time, nullable=False),
    Column("last_used_at", Time, nullable=False),
    # With the size, the scan of what is idle looks nowhere else.
    Index(None, "last_used_at", "digest_id", "size"),
)

blob_links = Table(
    "blob_links",
    metadata,
    Column("digest_id", ForeignKey("digests.id"), primary_key=True),
    Column("repository_id", ForeignKey("repositories.id"), primary_key=True),
    Column("linked_at", Time, nullable=False, server_default=text("0")),
    # Links of hosted repositories, and those alone: only they are looked for by their age.
    Index(
        None,
        "linked_at",
        "digest_id",
        "repository_id",
        sqlite_where=text("linked_at > 0"),
        postgresql_where=text("linked_at > 0"),
    ),
    sqlite_with_rowid=False,
)

counters = Table(
    "counters",
    metadata,
    Column("name", PlainText, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

# Events wait for each endpoint on their own, so that one that is dead is in nobody's way. Numbers
# are not used again, also when a queue was empty meanwhile.
event_queues = Table(
    "event_queues",
    metadata,
    Column("endpoint", PlainText, primary_key=True),
    Column("last_number", BigInteger, nullable=False),
    Column("failures", BigInteger, nullable=False),
    Column("retry_at", Time),
    sqlite_with_rowid=False,
)

queued_events = Table(
    "queued_events",
    metadata,
    Column("endpoint", ForeignKey("event_queues.endpoint", ondelete="CASCADE"), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("queued_at", Time, nullable=False),
    Column("event", PlainText, nullable=False),
    sqlite_with_rowid=False,
)
