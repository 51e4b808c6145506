"""Repositories with their tags and manifests, blobs with their links, and counters."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_Text = sa.Text().with_variant(sa.String(collation="C"), "postgresql")
_RowId = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _create_repositories()
    _create_digests()
    _create_manifests()
    _create_blobs()
    op.create_table(
        "counters",
        sa.Column("name", _Text, nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counters"),
    )
    _create_event_queues()


def _create_repositories() -> None:
    op.create_table(
        "repositories",
        sa.Column("id", _RowId, nullable=False),
        sa.Column("upstream", _Text, nullable=False),
        sa.Column("name", _Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_repositories"),
        sa.UniqueConstraint("upstream", "name", name="uq_repositories_upstream_name"),
    )
    op.create_table(
        "tags",
        sa.Column("repository_id", _RowId, nullable=False),
        sa.Column("tag", _Text, nullable=False),
        sa.Column("digest", _Text, nullable=False),
        sa.Column("media_type", _Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("confirmed_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("repository_id", "tag", name="pk_tags"),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_tags_repository_id"
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_tags_repository_id_digest", "tags", ["repository_id", "digest"])


def _create_digests() -> None:
    op.create_table(
        "digests",
        sa.Column("id", _RowId, nullable=False),
        sa.Column("digest", _Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_digests"),
        sa.UniqueConstraint("digest", name="uq_digests_digest"),
    )


def _create_manifests() -> None:
    op.create_table(
        "manifests",
        sa.Column("id", _RowId, nullable=False),
        sa.Column("repository_id", _RowId, nullable=False),
        sa.Column("digest", _Text, nullable=False),
        sa.Column("media_type", _Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("stored_at", sa.BigInteger, nullable=False),
        sa.Column("last_used_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_manifests"),
        sa.UniqueConstraint("repository_id", "digest", name="uq_manifests_repository_id_digest"),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_manifests_repository_id"
        ),
    )
    op.create_index("ix_manifests_digest", "manifests", ["digest"])
    op.create_index("ix_manifests_last_used_at_id", "manifests", ["last_used_at", "id"])
    op.create_table(
        "manifest_references",
        sa.Column("manifest_id", _RowId, nullable=False),
        sa.Column("kind", _Text, nullable=False),
        sa.Column("child_id", _RowId, nullable=False),
        sa.Column("repository_id", _RowId, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("media_type", _Text, nullable=False),
        sa.Column("platform", _Text),
        sa.PrimaryKeyConstraint("manifest_id", "kind", "child_id", name="pk_manifest_references"),
        sa.CheckConstraint(
            "kind IN ('blob', 'manifest', 'subject', 'self')", name="ck_manifest_references_kind"
        ),
        sa.ForeignKeyConstraint(
            ["manifest_id"],
            ["manifests.id"],
            name="fk_manifest_references_manifest_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["child_id"], ["digests.id"], name="fk_manifest_references_child_id"
        ),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_manifest_references_repository_id"
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_manifest_references_child_id_repository_id_kind",
        "manifest_references",
        ["child_id", "repository_id", "kind"],
    )


def _create_blobs() -> None:
    op.create_table(
        "blobs",
        sa.Column("digest_id", _RowId, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("stored_at", sa.BigInteger, nullable=False),
        sa.Column("last_used_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("digest_id", name="pk_blobs"),
        sa.ForeignKeyConstraint(["digest_id"], ["digests.id"], name="fk_blobs_digest_id"),
    )
    op.create_index(
        "ix_blobs_last_used_at_digest_id_size", "blobs", ["last_used_at", "digest_id", "size"]
    )
    op.create_table(
        "blob_links",
        sa.Column("digest_id", _RowId, nullable=False),
        sa.Column("repository_id", _RowId, nullable=False),
        sa.Column("linked_at", sa.BigInteger, server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("digest_id", "repository_id", name="pk_blob_links"),
        sa.ForeignKeyConstraint(["digest_id"], ["digests.id"], name="fk_blob_links_digest_id"),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name="fk_blob_links_repository_id"
        ),
        sqlite_with_rowid=False,
    )


def _create_event_queues() -> None:
    op.create_table(
        "event_queues",
        sa.Column("endpoint", _Text, nullable=False),
        sa.Column("last_number", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.BigInteger, nullable=False),
        sa.Column("retry_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("endpoint", name="pk_event_queues"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "queued_events",
        sa.Column("endpoint", _Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("queued_at", sa.BigInteger, nullable=False),
        sa.Column("event", _Text, nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "number", name="pk_queued_events"),
        sa.ForeignKeyConstraint(
            ["endpoint"],
            ["event_queues.endpoint"],
            name="fk_queued_events_endpoint",
            ondelete="CASCADE",
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_blob_links_linked_at_digest_id_repository_id",
        "blob_links",
        ["linked_at", "digest_id", "repository_id"],
        sqlite_where=sa.text("linked_at > 0"),
        postgresql_where=sa.text("linked_at > 0"),
    )
