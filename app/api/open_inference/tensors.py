"""Requests and responses of the Open Inference Protocol: JSON, or JSON followed by the bytes of tensors.

Source: Open Inference Protocol (KServe), version 2, and the extension ``binary_tensor_data`` of its HTTP interface, in
which the header ``Inference-Header-Content-Length`` is the length of the JSON.
"""

import base64
import binascii
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from app.api.open_inference.bodies import (
    Datatype,
    InferenceRequest,
    InferenceResponse,
    InputTensor,
    OutputRequest,
    OutputTensor,
)
from app.errors import EmptyBody, InvalidQuery, MalformedRequest
from app.validation import describe

Values = NDArray[np.float32] | NDArray[np.int8]

JSON_LENGTH = "Inference-Header-Content-Length"
IMAGE = "image"
_DATATYPES: dict[str, Datatype] = {"float32": "FP32", "int8": "INT8"}
_LENGTH = struct.Struct("<I")  # before every element of BYTES


@dataclass(frozen=True)
class Encoded:
    """A response body. ``json_length`` is None where nothing follows the JSON."""

    body: bytes
    json_length: int | None


def read_request(body: bytes, json_length: str | None) -> tuple[InferenceRequest, bytes]:
    """The JSON of a request, and the image of its one tensor: ``image``, BYTES, shape [1] (or [1, 1]).

    In JSON the image is base64; as binary data it is the file itself. Raises MalformedRequest, InvalidQuery, EmptyBody.
    """
    text, binary = _split(body, json_length)
    try:
        request = InferenceRequest.model_validate_json(text)
    except ValidationError as error:
        raise MalformedRequest("; ".join(describe(error))) from None
    names = [tensor.name for tensor in request.inputs]
    if names != [IMAGE]:
        raise InvalidQuery(f"expected one input named '{IMAGE}', found {len(names)}: {', '.join(names)[:100]}")
    image = _image(request.inputs[0], binary)
    if not image:
        raise EmptyBody(f"the input '{IMAGE}' is empty")
    return request, image


def encode(request: InferenceRequest, model: tuple[str, str], tensors: dict[str, Values]) -> Encoded:
    """The response with the requested tensors. ``model`` is its name and version. Raises InvalidQuery."""
    known = {name: OutputRequest(name=name) for name in tensors}
    wanted = request.outputs or list(known.values())
    if unknown := [output.name for output in wanted if output.name not in known]:
        raise InvalidQuery(f"there is no output '{unknown[0][:100]}'; outputs are: {', '.join(known)}")
    outputs, parts = list[OutputTensor](), list[bytes]()
    for output in wanted:
        values, as_binary = tensors[output.name], output.parameters.binary_data
        if request.parameters.binary_data_output if as_binary is None else as_binary:
            parts.append(values.tobytes())
            outputs.append(_output(output.name, values, parameters={"binary_data_size": len(parts[-1])}))
        else:
            outputs.append(_output(output.name, values, data=_plain(values)))
    name, version = model
    response = InferenceResponse(model_name=name, model_version=version, id=request.id, outputs=outputs)
    text = response.model_dump_json().encode()
    return Encoded(text + b"".join(parts), len(text) if parts else None)


def _output(name: str, values: Values, **content: Any) -> OutputTensor:  # noqa: ANN401 - a field of the tensor
    return OutputTensor(name=name, shape=list(values.shape), datatype=_DATATYPES[values.dtype.name], **content)


def _plain(values: Values) -> list[float | int | None]:
    """The elements in row-major order; JSON has no NaN, so those are null."""
    flat: Sequence[float | int] = values.ravel().tolist()
    return [None if value != value else value for value in flat]  # noqa: PLR0124 - only NaN differs from itself


def _split(body: bytes, json_length: str | None) -> tuple[bytes, bytes]:
    if json_length is None:
        return body, b""
    if not json_length.isdecimal() or int(json_length) > len(body):
        raise MalformedRequest(f"{JSON_LENGTH} is not a length within the body")
    return body[: int(json_length)], body[int(json_length) :]


def _image(tensor: InputTensor, binary: bytes) -> bytes:
    if tensor.datatype != "BYTES" or tensor.shape not in ([1], [1, 1]):
        raise InvalidQuery(f"the input '{IMAGE}' must be BYTES with the shape [1]: one file of a radiograph")
    size = tensor.parameters.binary_data_size
    if size is None:
        return _from_base64(tensor.data)
    if size != len(binary) or size < _LENGTH.size or _LENGTH.unpack_from(binary)[0] != size - _LENGTH.size:
        raise MalformedRequest(f"the binary data of '{IMAGE}' are not one element of the stated size")
    return binary[_LENGTH.size :]


def _from_base64(data: Sequence[Any] | None) -> bytes:
    (text,) = data if data is not None and len(data) == 1 else (None,)
    if not isinstance(text, str):
        raise InvalidQuery(f"the data of '{IMAGE}' must be one string: the file in base64")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidQuery(f"the data of '{IMAGE}' are not base64") from None
