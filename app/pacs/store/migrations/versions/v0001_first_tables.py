"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    _create_jobs()
    _create_instances()
    _create_objects()
    _create_results()
    _create_contents()
    _create_heartbeat()


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("owner", sa.String(512), nullable=False),
        sa.Column("idempotency_key", sa.String(256)),
        sa.Column("study_uid", sa.String(64), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("target", sa.String(64), nullable=False),
        sa.Column("model", sa.String(128)),
        sa.Column("outputs", sa.String(32), nullable=False),
        *_work_columns(),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("owner", "idempotency_key", name="uq_jobs_owner"),
    )
    op.create_index("ix_jobs_due", "jobs", ["state", "due_at"])


def _create_instances() -> None:
    op.create_table(
        "instances",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("job_id", sa.String(32)),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("study_uid", sa.String(64)),
        sa.Column("series_uid", sa.String(64)),
        sa.Column("sop_class_uid", sa.String(64), nullable=False),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("sha256", sa.String(64)),
        sa.Column("rule", sa.String(128)),
        sa.Column("model", sa.String(128)),
        sa.Column("outputs", sa.String(32)),
        sa.Column("target", sa.String(64)),
        *_work_columns(),
        sa.PrimaryKeyConstraint("id", name="pk_instances"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_instances_job_id", ondelete="CASCADE"),
    )
    op.create_index("ix_instances_due", "instances", ["state", "due_at"])
    op.create_index("ix_instances_job_id", "instances", ["job_id"])
    op.create_index("ix_instances_sha256", "instances", ["sha256"])


def _create_objects() -> None:
    op.create_table(
        "objects",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("target", sa.String(64), nullable=False),
        sa.Column("study_uid", sa.String(64), nullable=False),
        sa.Column("sop_class_uid", sa.String(64), nullable=False),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        *_work_columns(),
        sa.PrimaryKeyConstraint("id", name="pk_objects"),
        sa.UniqueConstraint("target", "sop_instance_uid", name="uq_objects_target"),
    )
    op.create_index("ix_objects_due", "objects", ["target", "state", "due_at"])


def _create_results() -> None:
    op.create_table(
        "results",
        sa.Column("instance_id", sa.String(32), nullable=False),
        sa.Column("object_id", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("instance_id", "object_id", name="pk_results"),
        sa.ForeignKeyConstraint(["instance_id"], ["instances.id"], name="fk_results_instance_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["object_id"], ["objects.id"], name="fk_results_object_id"),
    )
    op.create_index("ix_results_object_id", "results", ["object_id"])


def _create_contents() -> None:
    op.create_table(
        "contents",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_contents"),
    )
    op.create_index("ix_contents_size", "contents", ["size"])


def _create_heartbeat() -> None:
    op.create_table(
        "heartbeat",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("beat_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_heartbeat"),
    )


def _work_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double()),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failing_since", sa.Double()),
        sa.Column("lease", sa.String(32)),
        sa.Column("leased_until", sa.Double()),
        sa.Column("problem", sa.String(64)),
        sa.Column("detail", sa.Text()),
    ]
