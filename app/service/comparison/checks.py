"""Whether two radiographs can be compared: patient, view, and the order of their dates."""

from collections.abc import Iterable

from app.errors import DifferentPatients, DifferentViews
from app.imaging.radiograph import ImageFacts, ImageWarning
from app.service.comparison.results import Pair


def require_one_patient(films: Iterable[ImageFacts]) -> None:
    """Raise DifferentPatients if two radiographs have different Patient IDs, without repeating them."""
    if len({facts.patient for facts in films if facts.patient is not None}) > 1:
        raise DifferentPatients("the radiographs have different Patient IDs; send radiographs of one patient")


def pair_warnings(films: Pair[ImageFacts]) -> tuple[ImageWarning, ...]:
    """Warnings about a pair. Raises DifferentPatients and DifferentViews if it cannot be compared."""
    require_one_patient(films)
    current, prior = films
    warnings: list[ImageWarning] = []
    if current.patient is None or prior.patient is None:
        detail = "a Patient ID is missing; whether both radiographs are of one patient was not checked"
        warnings.append(ImageWarning("patient_not_checked", detail))
    if current.projection is None or prior.projection is None:
        detail = "the view of a radiograph is unknown; different views differ without any change of the patient"
        warnings.append(ImageWarning("view_unknown", detail))
    elif current.projection != prior.projection:
        raise DifferentViews(
            f"the current radiograph is {current.projection} and the prior one {prior.projection}; "
            "send radiographs of the same view"
        )
    if current.acquired is not None and prior.acquired is not None and _is_later(prior.acquired, current.acquired):
        detail = "by its date, the prior radiograph is later than the current one"
        warnings.append(ImageWarning("prior_is_later", detail))
    return tuple(warnings)


def _is_later(one: str, other: str) -> bool:
    """Whether a time is later than another, as far as both are known."""
    known = min(len(one), len(other))
    return one[:known] > other[:known]
