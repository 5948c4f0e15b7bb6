"""The domain errors of the service, each with a stable code.

No HTTP here (``app.api.problems`` maps codes to statuses) and no patient data: ``detail`` goes to clients and logs as
it is, so it may name formats, sizes and attribute values that are codes (a modality), never free text of an image.
"""

from typing import ClassVar


class MedPatchNetError(Exception):
    """Base of all domain errors. ``code`` is stable; ``detail`` is safe to show to a client."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class RequestError(MedPatchNetError):
    """The caller's request cannot be answered as sent."""


class EmptyBody(RequestError):
    """No bytes were sent."""

    code = "empty_body"


class MalformedRequest(RequestError):
    """The request's framing is broken: multipart, JSON or headers."""

    code = "malformed_request"


class ClientGone(RequestError):
    """The client hung up; its work was stopped, and nobody reads this."""

    code = "client_gone"


class InvalidQuery(RequestError):
    """A query value or a body field is outside what is accepted."""

    code = "invalid_query"


class UnknownFinding(RequestError):
    """A finding was asked for that the model does not score."""

    code = "unknown_finding"


class UntrainedFinding(RequestError):
    """A picture of the evidence was asked for a finding the weights never saw a label of."""

    code = "untrained_finding"


class UnknownModel(RequestError):
    """An artifact was asked for by a name that is not loaded."""

    code = "unknown_model"


class ResultNotFound(RequestError):
    """A recent result was asked for by an id that is not, or no longer, remembered."""

    code = "result_not_found"


class UnknownNode(RequestError):
    """A source or target was asked for by a name that the configuration does not have, or not in that role."""

    code = "unknown_node"


class JobNotFound(RequestError):
    """A job was asked for by an id that is not, or no longer, known, or is somebody else's."""

    code = "job_not_found"


class IdempotencyConflict(RequestError):
    """An Idempotency-Key was used before for another request."""

    code = "idempotency_conflict"


class UnsupportedMediaType(RequestError):
    """The body's declared media type is none the service reads."""

    code = "unsupported_media_type"


class NotAcceptable(RequestError):
    """The asked-for media type is none the service writes."""

    code = "not_acceptable"


class BodyTooLarge(RequestError):
    """More bytes were sent than the limit."""

    code = "body_too_large"


class Unauthenticated(RequestError):
    """No credential, or none that is valid. ``sent`` tells which."""

    code = "unauthenticated"

    def __init__(self, detail: str, *, sent: bool = False) -> None:
        super().__init__(detail)
        self.sent = sent


class Forbidden(RequestError):
    """A valid credential without the scope that is needed."""

    code = "forbidden"

    def __init__(self, detail: str, *, scope: str) -> None:
        super().__init__(detail)
        self.scope = scope


class ImageError(MedPatchNetError):
    """The bytes were received, but no prediction can be made from them.

    ``transfer_syntax`` is the UID of a known DICOM transfer syntax, where one was read.
    """

    def __init__(self, detail: str, transfer_syntax: str | None = None) -> None:
        super().__init__(detail)
        self.transfer_syntax = transfer_syntax

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str | None]]:
        return type(self), (self.detail, self.transfer_syntax)


class ImageTooLarge(ImageError):
    """The image has, or claims, more pixels than the limit, or inflates to more bytes than the limit."""

    code = "image_too_large"


class UnreadableImage(ImageError):
    """The bytes are no image that can be decoded."""

    code = "unreadable_image"


class NoPixels(ImageError):
    """A DICOM object without an image (a report, a presentation state)."""

    code = "no_pixels"


class NoSourceObject(ImageError):
    """A report was asked for, but what was sent is no DICOM object that it could refer to."""

    code = "no_source_object"


class NotAChestRadiograph(ImageError):
    """An image, but not a single-frame grayscale chest radiograph."""

    code = "not_a_chest_radiograph"


class DecodeTimeout(ImageError):
    """Decoding took longer than the limit; the worker was stopped."""

    code = "decode_timeout"


class DecoderCrashed(ImageError):
    """The decoder process died on these bytes; it was replaced."""

    code = "decoder_crashed"


class CapacityError(MedPatchNetError):
    """The service cannot take this request now. ``retry_after`` is in seconds."""

    retry_after: int = 1


class QueueFull(CapacityError):
    """As much work waits as is allowed."""

    code = "queue_full"


class RateLimited(CapacityError):
    """One client asks more often than it may."""

    code = "rate_limited"

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Draining(CapacityError):
    """The service is shutting down and takes no new work."""

    code = "draining"
    retry_after = 5


class NotReady(CapacityError):
    """The model is not loaded or not warmed up."""

    code = "not_ready"


class AuditUnavailable(CapacityError):
    """The audit log cannot be written, and nothing is answered without it."""

    code = "audit_unavailable"
    retry_after = 10


class SpoolFull(CapacityError):
    """As many images and results are kept as is allowed, or as the disk can hold."""

    code = "spool_full"
    retry_after = 30


class StoreUnavailable(CapacityError):
    """The database of images and results cannot be written or read; nothing new is accepted without it."""

    code = "store_unavailable"
    retry_after = 10


class NodeUnavailable(MedPatchNetError):
    """A node of the network does not answer, or not as it should; a later try may succeed."""

    code = "node_unavailable"


class NodeRefused(MedPatchNetError):
    """A node of the network refuses what was sent or asked for; a later try would be refused too."""

    code = "node_refused"


class StudyNotFound(MedPatchNetError):
    """The source has no study with the requested Study Instance UID."""

    code = "study_not_found"


class InvalidQueryResponse(MedPatchNetError):
    """Rows of a query response are unusable; they are skipped."""

    code = "invalid_query_response"


class AnalysisFailed(MedPatchNetError):
    """The analysis of an instance ended with an unexpected error."""

    code = "analysis_failed"


class ObjectNotCreated(MedPatchNetError):
    """A kind of result cannot be created from this image; the other kinds are not affected."""

    code = "object_not_created"


class ResultConflict(MedPatchNetError):
    """Another object was made under the UID of this one; the earlier one stays."""

    code = "result_conflict"


class DeadlineExceeded(MedPatchNetError):
    """The request's deadline passed before its answer was ready."""

    code = "deadline_exceeded"


class InferenceFailed(MedPatchNetError):
    """The engine raised an error; nothing was predicted."""

    code = "inference_failed"


class InvalidModelOutput(InferenceFailed):
    """The engine returned values that are not finite; they are never served."""

    code = "invalid_model_output"


class ArtifactError(MedPatchNetError):
    """An artifact is missing, damaged, or does not fit this version."""

    code = "artifact_error"


class ConfigurationError(MedPatchNetError):
    """The settings contradict each other or the machine."""

    code = "configuration_error"
