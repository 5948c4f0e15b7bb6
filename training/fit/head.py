"""Logistic regression on frozen features: the start of fine-tuning, and a model in itself."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from app.patchnet.backbones import head_of
from app.patchnet.model import PatchNet

LabelledImages = Dataset[tuple[Tensor, Tensor]]
"""Images [1, S, S] uint8 with labels [C], as in ``FilmDataset``."""

_STEPS = 200


def fit_head(network: PatchNet, backbone: str, data: LabelledImages, penalty: float, batch_images: int = 8) -> None:
    """Fit the last linear layer, in place, to the mean features of each radiograph.

    The head is linear, so the head of the mean feature equals the mean of the patch logits. Features are standardised
    for the fit, and the standardisation is folded into the head. ``penalty`` is the L2 penalty on the weights.
    """
    features, labels = mean_features(network, backbone, data, batch_images)
    mean, std = features.mean(dim=0), features.std(dim=0).clamp(min=1e-6)
    weight, bias = _logistic((features - mean) / std, labels, penalty)
    head = head_of(backbone, network.backbone)
    with torch.no_grad():
        head.weight.copy_(weight / std)
        head.bias.copy_(bias - (weight / std) @ mean)


@torch.no_grad()
def mean_features(network: PatchNet, backbone: str, data: LabelledImages, batch_images: int) -> tuple[Tensor, Tensor]:
    """Inputs of the last linear layer, averaged over patches: [N, F] float32, and the labels [N, C]."""
    head = head_of(backbone, network.backbone)
    seen: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network.eval()
    features: list[Tensor] = []
    labels: list[Tensor] = []
    try:
        for images, truth in tqdm(DataLoader(data, batch_images), "features", unit="batch", leave=False):
            network.patch_logits(images.float() / 255)
            features.append(seen.pop().reshape(len(images), network.patches_per_side**2, -1).mean(dim=1))
            labels.append(truth)
    finally:
        hook.remove()
    return torch.cat(features), torch.cat(labels)


def _logistic(features: Tensor, labels: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Masked multi-label logistic regression by L-BFGS: [N, F], [N, C] → weight [C, F], bias [C]."""
    known = ~labels.isnan()
    weight = nn.Parameter(torch.zeros(labels.shape[1], features.shape[1]))
    bias = nn.Parameter(torch.zeros(labels.shape[1]))
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=_STEPS, line_search_fn="strong_wolfe")
    truth = labels.nan_to_num()

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = functional.linear(features, weight, bias)
        terms = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        total = (terms * known).sum() / known.sum() + penalty * weight.square().sum()
        total.backward()
        return total

    optimizer.step(loss)
    return weight.detach(), bias.detach()
