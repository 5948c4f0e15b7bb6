"""Patch logits of recent predictions, so that /whatif does not need the image again."""

from collections import OrderedDict

from torch import Tensor

from app.errors import ResultNotFound
from app.service.models import ServedModel


class RecentResults:
    """The last ``capacity`` predictions by request id: numbers only, no image and no identifier."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._results: OrderedDict[str, tuple[ServedModel, Tensor]] = OrderedDict()

    def remember(self, request_id: str, model: ServedModel, patch_logits: Tensor) -> None:
        """Store patch logits [P², C] under an id; a repeated id replaces the earlier result."""
        self._results[request_id] = (model, patch_logits)
        self._results.move_to_end(request_id)
        while len(self._results) > self._capacity:
            self._results.popitem(last=False)

    def recall(self, request_id: str) -> tuple[ServedModel, Tensor]:
        """The model and patch logits of an earlier prediction. Raises ResultNotFound."""
        result = self._results.get(request_id)
        if result is None:
            raise ResultNotFound(
                "this process has no recent result with this id; another replica can have it. Send 'grids' instead: "
                "those of /predict?grids=true are accepted by every replica"
            )
        return result
