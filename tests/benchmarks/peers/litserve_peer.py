"""The same artifact behind LitServe, the way its documentation recommends: batching on, one worker on the CPU."""

import io
import sys
from pathlib import Path

import litserve
import numpy as np
import torch
from fastapi import Request
from PIL import Image

from app.patchnet import artifact
from app.patchnet.preprocessing import to_model_image


class ChestFilms(litserve.LitAPI):
    def setup(self, device):
        self.network = artifact.load(artifact.find("chest-lite0", Path("models"))).network

    def decode_request(self, request: Request):

        film = Image.open(io.BytesIO(request["film"].file.read())).convert("L")
        return to_model_image(np.asarray(film, dtype=np.float32) / 255, 512).tensor

    def batch(self, inputs):
        return torch.stack(inputs)

    @torch.inference_mode()
    def predict(self, x):
        return self.network(x).sigmoid()

    def unbatch(self, output):
        return list(output)

    def encode_response(self, output):
        return {"probabilities": output.tolist()}


if __name__ == "__main__":
    api = ChestFilms(max_batch_size=8, batch_timeout=0.002)
    litserve.LitServer(api, accelerator="cpu", workers_per_device=1).run(
        host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning"
    )
