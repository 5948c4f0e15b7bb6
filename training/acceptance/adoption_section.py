"""The section of the model card about a local acceptance."""

import re

from app.patchnet.manifest import Description
from training.publish.markdown import figure, with_marked

SECTION = "adoption"
_TITLE = re.compile(r"^# Model card: .*$", re.MULTILINE)

_TEXT = """\
## Local acceptance

This version was made from {source} by `{command}` on {at:%Y-%m-%d}. Its weights differ from those in the last layer
alone, by Platt scaling on {films} radiographs of the site (SHA-256 of radiographs and labels:
`{films_sha256}`). The sections about training and quality are those of the earlier version; statuses, operating points
and the reference are the site's. A finding with fewer than 20 positive or 20 negative radiographs of the site is weak
here, even where its figures from elsewhere would validate it.

Figures of operating points and calibration were measured on other patients than those that chose them. Mean calibration
error over the findings with enough radiographs: {before} before, {after} after.

History of the weights, oldest first:

{history}
"""


def with_adoption(card: str, description: Description, errors: tuple[float, float]) -> str:
    """A card with the section, which replaces an earlier one, and with the name and version of the new artifact."""
    step = description.history[-1]
    history = "\n".join(
        f"{number}. {each.at:%Y-%m-%d}: `{each.command}` from {each.source}, SHA-256 `{each.source_sha256}`"
        for number, each in enumerate(description.history, 1)
    )
    text = _TEXT.format(
        source=step.source,
        command=step.command,
        at=step.at,
        films=step.films,
        films_sha256=step.films_sha256,
        before=figure(errors[0]),
        after=figure(errors[1]),
        history=history,
    )
    titled = _TITLE.sub(lambda _: f"# Model card: {description.name} {description.version}", card, count=1)
    return with_marked(titled, SECTION, text)
