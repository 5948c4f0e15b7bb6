"""The Open Inference Protocol, version 2, which clients of KServe and Triton use: the same analysis as ``/predict``."""

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Header, Request
from fastapi.responses import Response

from app import __version__
from app.api.open_inference.bodies import (
    PREFIX,
    InferenceRequest,
    InferenceResponse,
    ModelMetadata,
    ServerMetadata,
    TensorMetadata,
)
from app.api.open_inference.tensors import IMAGE, JSON_LENGTH, Values, encode, read_request
from app.api.openapi import ServicesOf, problems
from app.api.presence import while_connected
from app.api.responses import JSON, json_answer
from app.api.security import GuardedRoute, requires
from app.api.uploads import read_bounded, recorded
from app.errors import BodyTooLarge
from app.patchnet.findings import FINDING_NAMES
from app.patchnet.saliency import patch_grid
from app.service.results import Prediction

_PROBLEMS = problems(400, 401, 403, 413, 415, 422, 429, 500, 503, 504)
_JSON_ALLOWANCE = 64 * 1024  # of what surrounds the image

router = APIRouter(prefix=PREFIX, route_class=GuardedRoute)


@router.get("", response_model=ServerMetadata)
@requires("public")
async def server() -> Response:
    """The server and the extensions of the protocol that it supports."""
    return json_answer(ServerMetadata(name="medpatchnet", version=__version__, extensions=["binary_tensor_data"]))


@router.get("/health/live")
@requires("public")
async def live() -> Response:
    """Liveness: whether the process responds."""
    return Response(b'{"live":true}', media_type=JSON)


@router.get("/health/ready", responses=problems(503))
@requires("public")
async def ready(services: ServicesOf) -> Response:
    """Readiness: models loaded and warmed up, not draining."""
    return _readiness(services.status == "ready")


@router.get("/models/{model}", response_model=ModelMetadata, responses=problems(401, 422, 429))
@router.get("/models/{model}/versions/{version}", response_model=ModelMetadata, responses=problems(401, 422, 429))
@requires("any")
async def metadata(services: ServicesOf, model: str, version: str | None = None) -> Response:
    """A model: its input is the file of a radiograph, its outputs have a row for each image and the 14 findings."""
    found = services.models.version(model, version)
    manifest, findings, side = found.manifest, len(FINDING_NAMES), found.manifest.patches_per_side
    return json_answer(
        ModelMetadata(
            name=manifest.name,
            versions=[manifest.version],
            platform="medpatchnet",
            inputs=[TensorMetadata(name=IMAGE, datatype="BYTES", shape=[1])],
            outputs=[
                TensorMetadata(name="probabilities", datatype="FP32", shape=[1, findings]),
                TensorMetadata(name="decisions", datatype="INT8", shape=[1, findings]),
                TensorMetadata(name="patch_logits", datatype="FP32", shape=[1, findings, side, side]),
            ],
        )
    )


@router.get("/models/{model}/ready", responses=problems(401, 422, 429, 503))
@router.get("/models/{model}/versions/{version}/ready", responses=problems(401, 422, 429, 503))
@requires("any")
async def model_ready(services: ServicesOf, model: str, version: str | None = None) -> Response:
    """Whether a model answers."""
    services.models.version(model, version)
    return _readiness(services.status == "ready")


@router.post("/models/{model}/infer", response_model=InferenceResponse, responses=_PROBLEMS)
@router.post("/models/{model}/versions/{version}/infer", response_model=InferenceResponse, responses=_PROBLEMS)
@requires("predict")
async def infer(
    request: Request,
    services: ServicesOf,
    model: str,
    version: str | None = None,
    json_length: Annotated[str | None, Header(alias=JSON_LENGTH)] = None,
) -> Response:
    """Score the 14 findings on one chest radiograph."""
    served, largest = services.models.version(model, version), services.settings.max_body_bytes
    with services.lifecycle.admit(services.settings.request_timeout_s) as job:
        body = await read_bounded(request, _largest_body(largest), job.deadline)
        question, image = read_request(body, json_length)
        if len(image) > largest:
            raise BodyTooLarge(f"the image is larger than the limit of {largest} bytes")
        at_point = served.at(question.parameters.operating_point)
        work = services.predictor.predict(await recorded(image), at_point, job.deadline, job.watch)
        prediction, _ = await while_connected(request, work)
    return _answer(question, prediction)


def _readiness(is_ready: bool) -> Response:
    return Response(b'{"ready":true}' if is_ready else b'{"ready":false}', 200 if is_ready else 503, media_type=JSON)


def _largest_body(image_bytes: int) -> int:
    """Bytes of the largest request: the image in base64, and the JSON around it."""
    return image_bytes * 4 // 3 + _JSON_ALLOWANCE


def _answer(question: InferenceRequest, prediction: Prediction) -> Response:
    manifest = prediction.model.manifest
    answer = encode(question, (manifest.name, manifest.version), _tensors(prediction))
    if answer.json_length is None:
        return Response(answer.body, media_type=JSON)
    headers = {JSON_LENGTH: str(answer.json_length)}
    return Response(answer.body, headers=headers, media_type="application/octet-stream")


def _tensors(prediction: Prediction) -> dict[str, Values]:
    """Probabilities (NaN: untrained), decisions (1 positive, 0 negative, -1 not decided), and patch logits."""
    scores = prediction.scores
    probabilities = np.array([score.probability for score in scores], np.float32)
    decisions = np.array([-1 if score.positive is None else score.positive for score in scores], np.int8)
    grids = patch_grid(prediction.patch_logits[None])[0].numpy().astype(np.float32)
    grids[[score.logit is None for score in scores]] = np.nan
    return {
        "probabilities": probabilities[None],
        "decisions": decisions[None],
        "patch_logits": grids[None],
    }
