"""Who asks, and what they may ask for."""

from dataclasses import dataclass
from typing import Literal, get_args

Scope = Literal["predict", "explain", "report", "analyze", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True)
class Caller:
    """One identified client. ``name`` is that of a key, or ``oidc:<subject>``; it appears in logs and the audit log."""

    name: str
    scopes: frozenset[Scope]


ANONYMOUS = Caller("anonymous", frozenset(SCOPES))
"""Everyone, where authentication is off: the service listens on loopback then, and loopback is trusted."""
