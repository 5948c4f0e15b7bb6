"""Callers and the scopes they have."""

from dataclasses import dataclass
from typing import Literal, get_args

Scope = Literal["predict", "explain", "report", "analyze", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True)
class Caller:
    """One identified client. ``name`` is the name of a key or ``oidc:<subject>``; it appears in both logs."""

    name: str
    scopes: frozenset[Scope]


ANONYMOUS = Caller("anonymous", frozenset(SCOPES))
"""Every client if authentication is off; the service then listens on loopback only, which is trusted."""
