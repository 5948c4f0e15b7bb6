"""Which media type to answer with."""

from collections.abc import Sequence

from app.errors import NotAcceptable


def choose_media_type(accept: str | None, offered: Sequence[str]) -> str:
    """The offered type that an ``Accept`` header likes best; the first offered wins ties and a missing header.

    Source: RFC 9110, 12.5.1. Raises NotAcceptable where the header rules out every offered type.
    """
    if accept is None or not accept.strip():
        return offered[0]
    ranges = [_parse(part) for part in accept.split(",")]
    best = max(offered, key=lambda media_type: _quality(media_type, ranges))
    if _quality(best, ranges) <= 0:
        raise NotAcceptable(f"this is answered as {' or '.join(offered)}")
    return best


def _parse(part: str) -> tuple[str, float]:
    media_range, *parameters = (piece.strip() for piece in part.lower().split(";"))
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                quality = 0.0
    return media_range, quality


def _quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    """The quality of the most specific range that covers a type."""
    patterns = ("*/*", media_type.split("/", maxsplit=1)[0] + "/*", media_type)  # the more specific, the later
    matching = [(patterns.index(name), quality) for name, quality in ranges if name in patterns]
    return max(matching, default=(0, 0.0))[1]
