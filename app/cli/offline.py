"""The commands without a server: predictions of many files, in order."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from app.errors import MedPatchNetError
from app.predictor import LoadedModel, PredictedImage
from app.settings import Settings

Advance = Callable[[int, int | None], None]
Show = Callable[[Path, PredictedImage | MedPatchNetError], None]


def predict_files(
    settings: Settings, files: Sequence[Path], operating_point: str | None, show: Show, advance: Advance
) -> None:
    """Score images, a few at a time so that decoding and inference overlap; ``show`` gets the results in order."""
    with LoadedModel(settings) as model, ThreadPoolExecutor(2 * settings.decode_workers) as threads:

        def predict(file: Path) -> PredictedImage | MedPatchNetError:
            try:
                return model.predict(file, operating_point=operating_point)
            except MedPatchNetError as error:
                return error

        for file, result in zip(files, threads.map(predict, files), strict=True):
            show(file, result)
            advance(1, None)
