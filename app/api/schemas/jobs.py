"""Response of ``GET /jobs/{job}`` and ``POST /studies/{study}/analyze``."""

from datetime import UTC, datetime
from typing import Self

from pydantic import Field

from app.dicom_objects.content import ReportKind
from app.pacs.store.jobs import InstanceReport, JobReport, JobState, ObjectReport
from app.pacs.values import Problem
from app.validation import StrictModel


class JobProblem(StrictModel):
    """Why work is delayed, was refused or was given up."""

    code: str
    detail: str

    @classmethod
    def of(cls, problem: Problem | None) -> Self | None:
        """From a problem, if there is one."""
        return None if problem is None else cls(code=problem.code, detail=problem.detail)


class ObjectBody(StrictModel):
    """A result; ``delivered`` when the target has confirmed it."""

    sop_class_uid: str
    sop_instance_uid: str
    state: str = Field(description="waiting, delivered or dead")
    problem: JobProblem | None

    @classmethod
    def of(cls, item: ObjectReport) -> Self:
        """From a report."""
        return cls(
            sop_class_uid=item.sop_class_uid,
            sop_instance_uid=item.sop_instance_uid,
            state=item.state,
            problem=JobProblem.of(item.problem),
        )


class InstanceBody(StrictModel):
    """An instance of the study and its results."""

    sop_instance_uid: str
    state: str = Field(description="waiting, analysed (results are being sent), delivered, refused or dead")
    problem: JobProblem | None
    objects: list[ObjectBody]

    @classmethod
    def of(cls, item: InstanceReport) -> Self:
        """From a report."""
        return cls(
            sop_instance_uid=item.sop_instance_uid,
            state=item.state,
            problem=JobProblem.of(item.problem),
            objects=[ObjectBody.of(made) for made in item.objects],
        )


class JobBody(StrictModel):
    """A job: waiting (instances are being queried), running, done, done_with_problems or failed."""

    id: str
    state: JobState
    created: datetime
    study_instance_uid: str
    source: str
    target: str
    model: str | None
    objects: list[ReportKind]
    problem: JobProblem | None
    instances: list[InstanceBody]

    @classmethod
    def of(cls, report: JobReport) -> Self:
        """From a report."""
        analysis = report.analysis
        return cls(
            id=report.id,
            state=report.state,
            created=datetime.fromtimestamp(report.created_at, UTC),
            study_instance_uid=analysis.study_uid,
            source=analysis.source,
            target=analysis.order.target,
            model=analysis.order.model,
            objects=list(analysis.order.outputs),
            problem=JobProblem.of(report.problem),
            instances=[InstanceBody.of(item) for item in report.instances],
        )
