"""Validation during training: all processes predict, the best weights so far are kept."""

from pathlib import Path

import numpy as np
from torch.utils.data import Subset
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from app.errors import ConfigurationError
from app.patchnet.model import PatchNet
from training.data.datasets import FilmDataset
from training.files import save_atomically
from training.fit.distributed import World
from training.fit.state import State
from training.measure.inference import judged_auroc, predict_logits


def keep_if_best(
    state: State, valid: FilmDataset, batch_images: int, folder: Path, world: World, writer: SummaryWriter | None
) -> None:
    """Measure the averaged weights on the validation radiographs; write ``best.pt`` where they are the best so far.

    Every process calls it and predicts its share. Raises ConfigurationError where no finding has radiographs of both
    classes, because such radiographs cannot choose between weights.
    """
    score = validation_auroc(state.averaged, valid, batch_images, world)
    if np.isnan(score):
        raise ConfigurationError("no finding has validation films of both classes")
    if writer is not None:
        writer.add_scalar("auroc/valid", score, state.step)
        tqdm.write(f"step {state.step}: valid mean AUROC {score:.4f}")
    if score > state.best:
        state.best = score
        if world.leads:
            save_atomically(state.averaged.backbone.state_dict(), folder / "best.pt")


def validation_auroc(network: PatchNet, valid: FilmDataset, batch_images: int, world: World) -> float:
    """Mean AUROC over the judged classes; each process predicts every ``world.size``-th radiograph."""
    world.copy_from_lead(network.buffers())  # batch norms that are not frozen differ between processes
    share = Subset(valid, range(len(valid))[world.share])
    parts = world.gather(predict_logits(network, share, batch_images, world.device))
    logits = np.empty((len(valid), parts[0].shape[1]))
    for rank, part in enumerate(parts):
        logits[rank :: world.size] = part
    return judged_auroc(logits, valid.films)
