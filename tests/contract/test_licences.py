"""The licences of what a default install pulls in: none of the GPL family, and every one stated."""

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement

# The LGPL and the MPL bind changes of the package itself, not who uses it.
_STRONG = re.compile(r"\b(A?GPL|GNU (Affero )?General Public)", re.IGNORECASE)
_WEAK = re.compile(r"LGPL|Lesser General Public|MPL", re.IGNORECASE)


def closure(name: str) -> dict[str, Distribution]:
    """Every installed distribution that ``name`` needs, without extras nobody asks for."""
    found: dict[str, Distribution] = {}
    waiting = [Requirement(name)]
    while waiting:
        wanted = waiting.pop()
        key = f"{wanted.name.lower()}[{','.join(sorted(wanted.extras))}]"
        if key in found:
            continue
        try:
            found[key] = distribution(wanted.name)
        except PackageNotFoundError:  # for another platform
            continue
        for text in found[key].requires or []:
            needed = Requirement(text)
            extras = wanted.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(needed)
    return found


def stated(package: Distribution) -> str:
    """What a package says of its licence: expression, classifiers, or the first line of a text."""
    metadata = package.metadata
    classifiers = [line.split("::")[-1].strip() for line in metadata.get_all("Classifier") or [] if "License" in line]
    expression = metadata.get("License-Expression") or ""
    free = (metadata.get("License") or "").strip().splitlines()[:1]
    return "; ".join(filter(None, [expression, *classifiers, *free]))


@pytest.fixture(scope="module")
def licences():
    return {name: stated(package) for name, package in closure("medpatchnet").items()}


def test_the_default_install_has_no_gpl(licences):
    print("\n".join(f"{name}: {licence}" for name, licence in sorted(licences.items())))
    assert len(licences) > 30
    strong = {name: text for name, text in licences.items() if _STRONG.search(_WEAK.sub("", text))}
    assert strong == {}


def test_every_package_states_a_licence(licences):
    silent = {name for name, text in licences.items() if not text}
    assert all(name.startswith("cuda-toolkit") for name in silent), silent  # a list of NVIDIA's packages, empty itself


def test_the_check_would_see_one():
    assert _STRONG.search(_WEAK.sub("", "GPL-3.0-or-later"))
    assert _STRONG.search(_WEAK.sub("", "GNU General Public License v3 (GPLv3)"))
    assert not _STRONG.search(_WEAK.sub("", "GNU Lesser General Public License v3 (LGPLv3)"))
