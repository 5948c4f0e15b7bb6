"""The tables. A test compares them with the result of all ``migrations``."""

from typing import Literal

from sqlalchemy import (
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

State = Literal["waiting", "analysed", "expanded", "delivered", "refused", "ignored", "dead"]
"""``waiting``: work to do. A job then becomes ``expanded`` (its instances are known); an instance becomes ``analysed``
(its results are in the outbox) and ``delivered`` when all its objects are. Instances without results are ``refused``
(not analysable) or ``ignored`` (no rule matched). ``dead`` work was given up and waits for an operator."""

ENDED: tuple[State, ...] = ("delivered", "refused", "ignored", "dead")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _work_columns() -> list[Column[object]]:
    """Columns of every queue. Times are seconds since the epoch."""
    return [
        Column("state", String(16), nullable=False),
        Column("created_at", Double, nullable=False),
        Column("due_at", Double, nullable=False),
        Column("ended_at", Double),
        Column("failures", Integer, nullable=False, default=0),
        Column("failing_since", Double),
        Column("lease", String(32)),
        Column("leased_until", Double),
        Column("problem", String(64)),
        Column("detail", Text),
    ]


jobs = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("owner", String(512), nullable=False),
    Column("idempotency_key", String(256)),
    Column("study_uid", String(64), nullable=False),
    Column("source", String(64), nullable=False),
    Column("target", String(64), nullable=False),
    Column("model", String(128)),
    Column("outputs", String(32), nullable=False),
    *_work_columns(),
    UniqueConstraint("owner", "idempotency_key"),
    Index("ix_jobs_due", "state", "due_at"),
)

instances = Table(
    "instances",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("job_id", String(32), ForeignKey("jobs.id", ondelete="CASCADE"), index=True),
    Column("source", String(64), nullable=False),
    Column("study_uid", String(64)),
    Column("series_uid", String(64)),
    Column("sop_class_uid", String(64), nullable=False),
    Column("sop_instance_uid", String(64), nullable=False),
    Column("sha256", String(64), index=True),
    Column("rule", String(128)),
    Column("model", String(128)),
    Column("outputs", String(32)),
    Column("target", String(64)),
    *_work_columns(),
    Index("ix_instances_due", "state", "due_at"),
)

objects = Table(
    "objects",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("target", String(64), nullable=False),
    Column("study_uid", String(64), nullable=False),
    Column("sop_class_uid", String(64), nullable=False),
    Column("sop_instance_uid", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),
    *_work_columns(),
    UniqueConstraint("target", "sop_instance_uid"),
    Index("ix_objects_due", "target", "state", "due_at"),
)

results = Table(
    "results",
    metadata,
    Column("instance_id", String(32), ForeignKey("instances.id", ondelete="CASCADE"), primary_key=True),
    Column("object_id", String(32), ForeignKey("objects.id"), primary_key=True, index=True),
)

contents = Table(
    "contents",
    metadata,
    Column("id", String(32), primary_key=True),  # that of the instance or object
    Column("size", Integer, nullable=False, index=True),
    Column("bytes", LargeBinary, nullable=False),
)

heartbeat = Table(
    "heartbeat",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("beat_at", Double, nullable=False),
)
