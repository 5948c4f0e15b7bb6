"""Reading YAML files from outside: bounded in size, without duplicate keys, with clear errors."""

from collections.abc import Hashable
from pathlib import Path
from typing import cast

import yaml

from app.errors import ConfigurationError

_MAX_BYTES = 1024 * 1024


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that notes duplicate keys, of which YAML silently keeps the last."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.duplicates: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key: object = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                self.duplicates.append(f"line {key_node.start_mark.line + 1}: the key '{key}' occurs twice")
            seen.add(key)
        return cast("dict[Hashable, object]", super().construct_mapping(node, deep=deep))


def read_yaml(path: Path) -> object:
    """The content of a YAML file. Raises ConfigurationError, with the line if it is known, for all duplicate keys."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigurationError(f"{path} is larger than {_MAX_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8 text") from None
    try:
        loader = _StrictLoader(text)
        content = cast(object, loader.get_single_data())
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ConfigurationError(f"{path}: {place}{error.problem}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigurationError(f"{path} is not YAML ({type(error).__name__})") from None
    if loader.duplicates:
        raise ConfigurationError("\n".join(f"{path}: {duplicate}" for duplicate in loader.duplicates))
    return content
