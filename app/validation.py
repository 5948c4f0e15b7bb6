"""What every value read from outside has in common: no unknown fields, no later change, problems in plain text."""

from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, ValidationError

Location = tuple[int | str, ...]


class StrictModel(BaseModel):
    """Base of configuration, manifests and bodies: immutable, and an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def dotted(location: Location) -> str:
    """``("routes", 2, "target")`` → ``routes.2.target``."""
    return ".".join(map(str, location))


def describe(error: ValidationError, place: Callable[[Location], str] = dotted) -> list[str]:
    """A line for every problem, ``place: what is wrong``, without the values that were given."""
    lines: list[str] = []
    for problem in error.errors(include_url=False, include_input=False):
        where, what = place(problem["loc"]), problem["msg"].removeprefix("Value error, ")
        lines.append(f"{where}: {what}" if where else what)
    return lines
