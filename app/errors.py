"""The domain errors of the service, each with a stable code.

No HTTP here: ``app.api.problems`` maps errors to statuses. No patient data: ``detail`` goes to clients and logs
unchanged, so it can name formats, sizes and coded attribute values (a modality), but never free text of an image.
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
    """The client disconnected; its work was cancelled."""

    code = "client_gone"


class InvalidQuery(RequestError):
    """A query value or a body field is outside the accepted range."""

    code = "invalid_query"


class UnknownFinding(RequestError):
    """The request names a finding that the model does not score."""

    code = "unknown_finding"


class UntrainedFinding(RequestError):
    """The request asks for evidence for a finding that the weights were never trained on."""

    code = "untrained_finding"


class UnknownModel(RequestError):
    """The request names a model that is not loaded."""

    code = "unknown_model"


class ResultNotFound(RequestError):
    """The request names a recent result that this process does not have, or no longer has."""

    code = "result_not_found"


class UnknownNode(RequestError):
    """The request names a source or target that the configuration does not have in that role."""

    code = "unknown_node"


class JobNotFound(RequestError):
    """The request names a job that does not exist, no longer exists, or belongs to another caller."""

    code = "job_not_found"


class NoShadowModel(RequestError):
    """No shadow model is configured."""

    code = "no_shadow_model"


class IdempotencyConflict(RequestError):
    """The Idempotency-Key was used before for a different request."""

    code = "idempotency_conflict"


class UnsupportedMediaType(RequestError):
    """The service does not read the declared media type of the body."""

    code = "unsupported_media_type"


class NotAcceptable(RequestError):
    """The service does not write any of the media types that the client accepts."""

    code = "not_acceptable"


class BodyTooLarge(RequestError):
    """The body is larger than the limit."""

    code = "body_too_large"


class Unauthenticated(RequestError):
    """The request has no valid credential.

    ``sent``: whether it has an invalid one.
    """

    code = "unauthenticated"

    def __init__(self, detail: str, *, sent: bool = False) -> None:
        super().__init__(detail)
        self.sent = sent


class Forbidden(RequestError):
    """The credential is valid but lacks the required scope."""

    code = "forbidden"

    def __init__(self, detail: str, *, scope: str) -> None:
        super().__init__(detail)
        self.scope = scope


class ImageError(MedPatchNetError):
    """No prediction can be made from the bytes that were sent.

    ``transfer_syntax`` is the UID of the DICOM transfer syntax, if a known one was read.
    """

    def __init__(self, detail: str, transfer_syntax: str | None = None) -> None:
        super().__init__(detail)
        self.transfer_syntax = transfer_syntax

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str | None]]:
        return type(self), (self.detail, self.transfer_syntax)


class ImageTooLarge(ImageError):
    """The image has, or claims to have, more pixels or more inflated bytes than the limit."""

    code = "image_too_large"


class UnreadableImage(ImageError):
    """The bytes are not an image that can be decoded."""

    code = "unreadable_image"


class NoPixels(ImageError):
    """The DICOM object has no image (for example a report or a presentation state)."""

    code = "no_pixels"


class NoSourceObject(ImageError):
    """A report needs a DICOM object to refer to, and the request does not contain one."""

    code = "no_source_object"


class ObjectNotPossible(ImageError):
    """A kind of DICOM object cannot be made from this image."""

    code = "object_not_possible"


class NotAChestRadiograph(ImageError):
    """The image is not a single-frame grayscale chest radiograph."""

    code = "not_a_chest_radiograph"


class DifferentPatients(ImageError):
    """The radiographs of one request have different Patient IDs."""

    code = "different_patients"


class DifferentViews(ImageError):
    """The radiographs of a comparison are different views."""

    code = "different_views"


class DecodeTimeout(ImageError):
    """Decoding took longer than the limit; the worker was stopped."""

    code = "decode_timeout"


class DecoderCrashed(ImageError):
    """The decoder process died on these bytes; it was replaced."""

    code = "decoder_crashed"


class CapacityError(MedPatchNetError):
    """The service cannot accept this request now. ``retry_after`` is in seconds."""

    retry_after: int = 1


class QueueFull(CapacityError):
    """The queue is full, or the estimated queueing time is over the limit."""

    code = "queue_full"


class RateLimited(CapacityError):
    """A client exceeds its request rate."""

    code = "rate_limited"

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Draining(CapacityError):
    """The service is shutting down and accepts no new work."""

    code = "draining"
    retry_after = 5


class NotReady(CapacityError):
    """The model is not loaded or not warmed up yet."""

    code = "not_ready"


class AuditUnavailable(CapacityError):
    """The audit log cannot be written, and no request is answered without it."""

    code = "audit_unavailable"
    retry_after = 10


class SpoolFull(CapacityError):
    """The spool of images and results is at its limit, or the disk is full."""

    code = "spool_full"
    retry_after = 30


class StoreUnavailable(CapacityError):
    """The database of images and results cannot be read or written; no new work is accepted without it."""

    code = "store_unavailable"
    retry_after = 10


class NodeUnavailable(MedPatchNetError):
    """A PACS node does not answer, or answers with an error; a later attempt can succeed."""

    code = "node_unavailable"


class NodeRefused(MedPatchNetError):
    """A PACS node rejects the request permanently; a later attempt would be rejected too."""

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
    """A different object with the same UID exists; the earlier one is kept."""

    code = "result_conflict"


class DeadlineExceeded(MedPatchNetError):
    """The deadline of the request passed before its response was ready."""

    code = "deadline_exceeded"


class InferenceFailed(MedPatchNetError):
    """The inference engine failed; there is no prediction."""

    code = "inference_failed"


class InvalidModelOutput(InferenceFailed):
    """The inference engine returned values that are not finite; they are never served."""

    code = "invalid_model_output"


class ArtifactError(MedPatchNetError):
    """An artifact is missing, damaged, or does not fit this version."""

    code = "artifact_error"


class ConfigurationError(MedPatchNetError):
    """The settings are inconsistent, or the machine cannot satisfy them."""

    code = "configuration_error"
