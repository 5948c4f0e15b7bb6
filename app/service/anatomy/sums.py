"""The decisions of one prediction as sums over zones."""

from collections.abc import Iterable

from app.service.anatomy.ledger import ZoneLedger, sum_over_zones
from app.service.anatomy.reader import Anatomy
from app.service.results import Prediction


def sums_of(prediction: Prediction, anatomy: Anatomy, columns: Iterable[int]) -> dict[int, ZoneLedger]:
    """The sum over zones of each finding, by its column; untrained findings are left out."""
    shares = anatomy.zones.patch_shares(prediction.model.manifest.patches_per_side)
    return {
        column: sum_over_zones(score.name, prediction.patch_logits[:, column], shares, positive=bool(score.positive))
        for column, score in ((column, prediction.scores[column]) for column in columns)
        if score.logit is not None
    }
