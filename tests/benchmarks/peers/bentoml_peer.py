"""The same artifact behind BentoML, the way its documentation recommends: adaptive batching of a service method."""

from pathlib import Path

import bentoml
import numpy as np
import torch
from PIL.Image import Image

from app.patchnet import artifact
from app.patchnet.preprocessing import to_model_image


@bentoml.service(workers=1, traffic={"timeout": 60})
class Network:
    def __init__(self) -> None:
        self.network = artifact.load(artifact.find("chest-lite0", Path("models"))).network

    @bentoml.api(batchable=True, max_batch_size=8, max_latency_ms=60_000)
    @torch.inference_mode()
    def probabilities(self, films: np.ndarray) -> np.ndarray:
        return self.network(torch.from_numpy(films)).sigmoid().numpy()


@bentoml.service(workers=1, traffic={"timeout": 60})
class ChestFilms:
    network = bentoml.depends(Network)

    @bentoml.api
    async def predict(self, film: Image) -> list[float]:
        pixels = np.asarray(film.convert("L"), dtype=np.float32) / 255
        tensor = to_model_image(pixels, 512).tensor[None].numpy()
        return (await self.network.to_async.probabilities(tensor))[0].tolist()
