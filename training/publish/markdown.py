"""Figures, tables and replaceable sections of model cards and reports."""

from collections.abc import Sequence

from training.measure.metrics import Estimate


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as Markdown; the first row is the header."""
    lines = [rows[0], ("---",) * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def figure(value: float | None, digits: int = 3) -> str:
    """A figure with fixed digits, or a dash."""
    return "-" if value is None or value != value else f"{value:.{digits}f}"  # noqa: PLR0124 - NaN


def estimate(value: Estimate | None, digits: int = 3) -> str:
    """A figure with its interval, or a dash."""
    if value is None or value.value != value.value:
        return "–"
    return f"{value.value:.{digits}f} ({value.low:.{digits}f}-{value.high:.{digits}f})"


def marked(name: str, content: str) -> str:
    """A section between comments that a later command can find and replace."""
    return f"<!-- {name}:begin -->\n{content.strip()}\n<!-- {name}:end -->"


def with_marked(card: str, name: str, content: str, before: Sequence[str] = ()) -> str:
    """A card with a marked section replaced; a new one comes before the first of the headings there are, or last."""
    section = marked(name, content)
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if begin in card and end in card:
        head, rest = card.split(begin, 1)
        return head + section + rest.split(end, 1)[1]
    for heading in before:
        if f"\n{heading}\n" in card:
            head, rest = card.split(f"\n{heading}\n", 1)
            return f"{head}\n{section}\n\n{heading}\n{rest}"
    return f"{card.rstrip()}\n\n{section}\n"
