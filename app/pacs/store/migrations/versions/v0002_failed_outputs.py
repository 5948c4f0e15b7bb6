"""Kinds of objects that could not be created from an image; instances are found by their UID."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the table and an index."""
    op.create_table(
        "failed_outputs",
        sa.Column("instance_id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("problem", sa.String(64), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("instance_id", "kind", name="pk_failed_outputs"),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instances.id"], name="fk_failed_outputs_instance_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_instances_sop_instance_uid", "instances", ["sop_instance_uid"])
