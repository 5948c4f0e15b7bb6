"""From the credentials of a request to its caller."""

import ipaddress
import socket
from dataclasses import dataclass

from app.access.callers import ANONYMOUS, Caller
from app.access.keys import PREFIX, KeyFile
from app.access.rates import RateLimiter
from app.access.tokens import TokenVerifier
from app.errors import Unauthenticated

_BEARER = "bearer "


@dataclass(frozen=True)
class Gate:
    """Identifies callers by API key or OIDC token; if neither is configured, every caller is ``ANONYMOUS``."""

    keys: KeyFile | None
    tokens: TokenVerifier | None
    limiter: RateLimiter

    @property
    def is_on(self) -> bool:
        """Whether requests need credentials."""
        return self.keys is not None or self.tokens is not None

    async def identify(self, authorization: list[str], api_key: list[str]) -> Caller:
        """The caller, from the values of ``Authorization`` and ``X-API-Key``. Raises Unauthenticated."""
        if not self.is_on:
            return ANONYMOUS
        given = [*authorization, *api_key]
        if not given:
            raise Unauthenticated("send an API key as X-API-Key, or a key or token as Authorization: Bearer")
        if len(given) > 1:
            raise Unauthenticated("send exactly one credential", sent=True)
        if authorization and authorization[0][: len(_BEARER)].lower() != _BEARER:
            raise Unauthenticated("Authorization must use the scheme Bearer", sent=True)
        credential = authorization[0][len(_BEARER) :].strip() if authorization else api_key[0].strip()
        if self.keys is not None and (api_key or self.tokens is None or credential.startswith(PREFIX)):
            caller = self.keys.find(credential)
        else:
            caller = await self.tokens.verify(credential) if self.tokens is not None and authorization else None
        if caller is None:
            raise Unauthenticated("the credential is not valid", sent=True)
        return caller


def is_loopback(host: str) -> bool:
    """Whether a server on ``host`` can only be reached from this machine: every address of a name must be loopback."""
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host or "0.0.0.0", None)}  # noqa: S104 - an empty host listens everywhere
    except OSError:
        return False
    return all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in found)
