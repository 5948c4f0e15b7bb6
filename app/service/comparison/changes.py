"""The arithmetic of a comparison: exact changes by zone, and the difference of aligned grids."""

import torch
from torch import Tensor

from app.anatomy.alignment import moved
from app.anatomy.zones import ledger
from app.patchnet.saliency import patch_grid
from app.service.comparison.results import AlignedZones, FindingChange, Pair
from app.service.results import Prediction


def finding_changes(
    predictions: Pair[Prediction], aligned: AlignedZones | None, columns: tuple[int, ...], *, with_maps: bool
) -> tuple[FindingChange, ...]:
    """What changed for the findings in ``columns``, by zone where there are zones."""
    maps = _difference_maps(predictions, aligned, columns) if with_maps and aligned is not None else None
    side = predictions.current.model.manifest.patches_per_side
    shares = None if aligned is None else Pair(*(zones.patch_shares(side) for zones in aligned.maps))
    changes: list[FindingChange] = []
    for index, column in enumerate(columns):
        scores = Pair(*(prediction.scores[column] for prediction in predictions))
        if scores.current.logit is None:
            changes.append(FindingChange(scores, None, None))
            continue
        zones = None if shares is None else _zone_evidence(predictions, shares, column)
        changes.append(FindingChange(scores, zones, None if maps is None else maps[index]))
    return tuple(changes)


def _zone_evidence(predictions: Pair[Prediction], shares: Pair[Tensor], column: int) -> tuple[Pair[float], ...]:
    current, prior = (
        [zone.evidence for zone in ledger(prediction.patch_logits[:, column], of_zones)]
        for prediction, of_zones in zip(predictions, shares, strict=True)
    )
    return tuple(Pair(*both) for both in zip(current, prior, strict=True))


def _difference_maps(predictions: Pair[Prediction], aligned: AlignedZones, columns: tuple[int, ...]) -> Tensor:
    """Current minus prior patch logits [K, P, P] float64 in the square of the current radiograph."""
    grids = (patch_grid(prediction.patch_logits[:, list(columns)][None])[0] for prediction in predictions)
    current, prior = Pair(*grids)
    lungs = aligned.lungs
    return current.to(torch.float64) - moved(prior, lungs.prior, lungs.current)
