"""Decisions in words, the same in pictures and reports. ASCII only: every DICOM character set contains it."""

from collections.abc import Sequence
from typing import Protocol

NOTICE = "Research use only; not a medical device. Not verified by a physician."
NO_FINDING = "No Finding"


class Decision(Protocol):
    """The decision about one finding; the values are None where the model has none."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def status(self) -> str: ...  # noqa: D102
    @property
    def probability(self) -> float | None: ...  # noqa: D102
    @property
    def threshold(self) -> float | None: ...  # noqa: D102
    @property
    def positive(self) -> bool | None: ...  # noqa: D102
    @property
    def operating_point(self) -> str | None: ...  # noqa: D102
    @property
    def contradicted_by(self) -> tuple[str, ...]: ...  # noqa: D102


def percent(share: float) -> str:
    """A share in percent: whole numbers from 10 %, one decimal below, so that small thresholds stay distinct."""
    return f"{100 * share:.0f} %" if round(share, 3) >= 0.0995 else f"{100 * share:.1f} %"


def headline(decision: Decision) -> str:
    """Finding, probability, decision and operating point, such as ``Edema 64 %: positive (balanced, from 42 %)``."""
    if decision.probability is None:
        return f"{decision.name}: not judged (untrained)"
    return f"{decision.name} {percent(decision.probability)}: {_verdict(decision)}"


def _verdict(decision: Decision) -> str:
    status = "" if decision.status == "validated" else f"{decision.status}; "
    if decision.positive is None:
        return f"no decision ({decision.status})"
    if decision.contradicted_by:
        return f"negative, contradicted by {listed(decision.contradicted_by)}"
    word = "positive" if decision.positive else "negative"
    if decision.threshold is None:
        return f"{word} ({status.removesuffix('; ')})" if status else word
    point = f"{decision.operating_point}, " if decision.operating_point else ""
    return f"{word} ({status}{point}from {percent(decision.threshold)})"


def conclusion(positives: Sequence[Decision], decisions: Sequence[Decision]) -> str:
    """The result in a sentence; ``positives`` are the positive findings but *No Finding*, strongest first."""
    points = sorted({item.operating_point for item in decisions if item.operating_point and item.positive is not None})
    if not positives:
        if not any(item.positive is not None for item in decisions):
            return "No decision: no finding has an operating point."
        return f"No finding is positive{_at(points)}."
    named = [
        f"{item.name} {percent(item.probability or 0.0)}"
        + (f" ({item.operating_point})" if len(points) > 1 and item.operating_point else "")
        for item in positives
    ]
    return f"Positive{_at(points)}: {', '.join(named)}."


def _at(points: Sequence[str]) -> str:
    return f" at the operating point {points[0]}" if len(points) == 1 else ""


def listed(names: Sequence[str]) -> str:
    """Names as an enumeration: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def ascii_text(text: str) -> str:
    """Text in ASCII: typographic characters by their plain forms, any other by a question mark."""
    return text.translate(_PLAIN).encode("ascii", "replace").decode("ascii")


_PLAIN = str.maketrans({"×": "x", "–": "-", "—": "-", "−": "-", "…": "...", "\u00a0": " ", "’": "'"})
