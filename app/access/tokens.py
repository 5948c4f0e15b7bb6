"""OIDC bearer tokens, signed by the issuer's keys (RFC 7517) and validated as RFC 7519 and RFC 8725 require."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, cast

import httpx
import jwt
from jwt import PyJWK

from app.access.callers import SCOPES, Caller, Scope
from app.errors import Unauthenticated
from app.telemetry import get_logger

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Asymmetric signatures only: no ``none``, and no shared secret, with which a verifier could forge tokens."""

KEYS_LIVE_S = 300.0
FETCH_AT_MOST_EVERY_S = 10.0
_FETCH_TIMEOUT_S = 5.0
_LARGEST_KEY_SET = 1 << 20
_LONGEST_TOKEN = 8192
_LONGEST_SUBJECT = 128


@dataclass(frozen=True)
class Issuer:
    """The accepted issuer, and the audience that its tokens must have."""

    issuer: str
    audience: str
    jwks_url: str
    scope_claim: str = "scope"
    leeway_s: float = 30.0


@dataclass(frozen=True)
class SigningKey:
    """A public key of the issuer, and its algorithm if the issuer restricts the key to one."""

    key: PyJWK
    algorithm: str | None

    def signs_with(self, algorithm: object) -> bool:
        """Whether a token with this key can use ``algorithm``."""
        return algorithm in ALGORITHMS and self.algorithm in {None, algorithm}


class JwkSet:
    """The issuer's public keys by id, fetched when they are old or a token names an unknown one (a rotation).

    Unknown ids cause at most one fetch in ``FETCH_AT_MOST_EVERY_S``. If a fetch fails, the known keys stay in force.
    """

    def __init__(self, url: str, clock: Callable[[], float] = monotonic) -> None:
        self._url = url
        self._clock = clock
        self._keys: dict[str, SigningKey] = {}
        self._fetched = self._tried = -KEYS_LIVE_S
        self._turn = asyncio.Lock()

    async def find(self, key_id: str) -> SigningKey | None:
        """The key with that id, or None."""
        if self._is_due(key_id):
            async with self._turn:
                if self._is_due(key_id):
                    await self._fetch()
        return self._keys.get(key_id)

    def _is_due(self, key_id: str) -> bool:
        now = self._clock()
        wanted = key_id not in self._keys or now - self._fetched >= KEYS_LIVE_S
        return wanted and (now - self._tried >= FETCH_AT_MOST_EVERY_S or not self._keys)

    async def _fetch(self) -> None:
        self._tried = self._clock()
        try:
            async with httpx.AsyncClient(timeout=_FETCH_TIMEOUT_S, follow_redirects=False) as client:
                answer = (await client.get(self._url)).raise_for_status()
            self._keys = _public_keys(answer)
        except (httpx.HTTPError, ValueError, jwt.PyJWTError) as error:
            get_logger().error("jwks_unreachable", error=type(error).__name__)
        else:
            self._fetched = self._tried


class TokenVerifier:
    """Validates bearer tokens."""

    def __init__(self, issuer: Issuer, keys: JwkSet) -> None:
        self._issuer = issuer
        self._keys = keys

    async def verify(self, token: str) -> Caller:
        """The caller of a token.

        Raises Unauthenticated unless the token is signed by a key of the issuer with one of ``ALGORITHMS``, is within
        its validity period (plus the leeway), and names the issuer, the audience and a subject.
        """
        try:
            if len(token) > _LONGEST_TOKEN:
                raise _refused()
            header = jwt.get_unverified_header(token)
            key = await self._keys.find(str(header.get("kid", "")))
            if key is None or not key.signs_with(header.get("alg")):
                raise _refused()
            claims = cast(
                "dict[str, object]",
                jwt.decode(
                    token,
                    key=key.key.key,
                    algorithms=list(ALGORITHMS),
                    audience=self._issuer.audience,
                    issuer=self._issuer.issuer,
                    leeway=self._issuer.leeway_s,
                    options={"require": ["exp", "iss", "aud", "sub"]},
                ),
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            raise _refused() from None
        return Caller(f"oidc:{_plain(str(claims['sub']))}", _scopes(claims.get(self._issuer.scope_claim)))


def _public_keys(answer: httpx.Response) -> dict[str, SigningKey]:
    """The signature keys of a key set, by id. Shared secrets and encryption keys are left out."""
    if len(answer.content) > _LARGEST_KEY_SET:
        raise ValueError("the key set is too large")
    document: Any = answer.json()
    if not isinstance(document, dict):
        raise ValueError("the key set is not an object")
    keys: dict[str, SigningKey] = {}
    for entry in cast("dict[str, Any]", document).get("keys", []):
        if entry.get("kty") in {"RSA", "EC", "OKP"} and entry.get("use", "sig") == "sig" and "kid" in entry:
            try:
                keys[str(entry["kid"])] = SigningKey(PyJWK.from_dict(entry), entry.get("alg"))
            except jwt.PyJWTError:  # an unsupported curve or type; other keys can still work
                continue
    return keys


def _scopes(claim: object) -> frozenset[Scope]:
    """The known scopes in a claim: words of a string (RFC 8693, section 4.2) or strings of a list."""
    words = claim.split() if isinstance(claim, str) else cast("list[object]", claim) if isinstance(claim, list) else []
    return frozenset(scope for scope in SCOPES if scope in words)


def _plain(subject: str) -> str:
    return "".join(letter for letter in subject if "!" <= letter <= "~")[:_LONGEST_SUBJECT]


def _refused() -> Unauthenticated:
    """One message for every reason: which check failed would help an attacker only."""
    return Unauthenticated("the credential is not valid", sent=True)
