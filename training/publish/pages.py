"""Reports as pages that open offline: their templates share the style sheet and the form of figures."""

from jinja2 import ChoiceLoader, Environment, PackageLoader, select_autoescape

from training.publish.markdown import estimate


def templates_of(package: str) -> Environment:
    """The templates of a package, and those that all pages share; ``estimate`` is a filter."""
    loader = ChoiceLoader([PackageLoader(package), PackageLoader("training.publish")])
    environment = Environment(loader=loader, autoescape=select_autoescape())
    environment.filters["estimate"] = estimate
    return environment
