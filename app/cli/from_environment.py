"""Settings of a command: the environment, which must hold known variables only, and the flags."""

from pydantic import ValidationError

from app.cli.outcomes import MISUSED, fail
from app.settings import Settings, unknown_variables
from app.validation import Location, describe


def make_settings(**flags: object) -> Settings:
    """Settings from the environment, overridden by the given flags. A mistake in them ends the program."""
    if unknown := unknown_variables():
        fail("\n".join(unknown), MISUSED)
    try:
        return Settings.model_validate({**Settings().model_dump(), **{k: v for k, v in flags.items() if v is not None}})
    except ValidationError as error:
        fail("\n".join(describe(error, _variable)), MISUSED)


def _variable(location: Location) -> str:
    return f"MEDPATCHNET_{'_'.join(map(str, location)).upper()}"
