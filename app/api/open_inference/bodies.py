"""The bodies of the Open Inference Protocol, version 2. Unknown fields are ignored, as the protocol asks."""

from typing import Any, Literal

from pydantic import BaseModel, Field

PREFIX = "/v2"
Datatype = Literal["FP32", "INT8"]


class ServerMetadata(BaseModel):
    """What serves."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """A tensor that a model reads or writes."""

    name: str
    datatype: Literal["BYTES", "FP32", "INT8"]
    shape: list[int]


class ModelMetadata(BaseModel):
    """A model and its tensors."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class TensorParameters(BaseModel):
    """The parameters of a tensor that have a meaning here; others are ignored, as the protocol asks."""

    binary_data_size: int | None = Field(default=None, ge=0)
    binary_data: bool | None = None


class InputTensor(BaseModel):
    """A tensor of a request."""

    name: str
    shape: list[int]
    datatype: str
    parameters: TensorParameters = TensorParameters()
    data: list[Any] | None = None


class OutputRequest(BaseModel):
    """A tensor that a response shall have."""

    name: str
    parameters: TensorParameters = TensorParameters()


class RequestParameters(BaseModel):
    """The parameters of a request that have a meaning here; others are ignored."""

    binary_data_output: bool = False
    operating_point: str | None = None


class InferenceRequest(BaseModel):
    """The JSON of a request. ``outputs`` empty: all."""

    id: str = ""
    parameters: RequestParameters = RequestParameters()
    inputs: list[InputTensor]
    outputs: list[OutputRequest] = []


class OutputTensor(BaseModel):
    """A tensor of a response."""

    name: str
    shape: list[int]
    datatype: Datatype
    parameters: dict[str, int] | None = None
    data: list[float | int | None] | None = None


class InferenceResponse(BaseModel):
    """The JSON of a response."""

    model_name: str
    model_version: str
    id: str
    outputs: list[OutputTensor]
