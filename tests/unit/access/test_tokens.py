"""OIDC tokens: what is signed, fresh and meant for this service is let in, nothing else."""

import asyncio
import base64
import json
from time import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from structlog.testing import capture_logs

from app.access.tokens import Issuer, JwkSet, TokenVerifier
from app.errors import Unauthenticated
from tests.clocks import Clock
from tests.unit.access.issuer import AUDIENCE, ISSUER


@pytest.fixture
def clock():
    return Clock(1000.0)


@pytest.fixture
def verify(issuer, clock):
    keys = JwkSet(issuer.jwks_url, clock)
    verifier = TokenVerifier(Issuer(ISSUER, AUDIENCE, issuer.jwks_url), keys)

    async def check(*tokens):
        return [await verifier.verify(token) for token in tokens]

    return lambda *tokens: asyncio.run(check(*tokens))[-1]


def test_a_good_token_names_its_subject_and_scopes(issuer, verify):
    caller = verify(issuer.token(scope="openid predict admin profile"))
    assert (caller.name, caller.scopes) == ("oidc:pacs", {"predict", "admin"})
    assert verify(issuer.token(scope=["explain", "else"])).scopes == {"explain"}
    assert verify(issuer.token(drop="scope")).scopes == set()
    assert verify(issuer.token(sub="a b\n" + "x" * 500)).name == "oidc:ab" + "x" * 126


def test_elliptic_curves_and_pss_are_accepted(issuer, verify, clock):
    assert verify(issuer.token(algorithm="PS384")).name == "oidc:pacs"
    clock.now += 11
    issuer.rotate("curve", kind="EC")
    assert verify(issuer.token(algorithm="ES256")).name == "oidc:pacs"


def pem(issuer):
    key = issuer.keys["first"].public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def unsigned(issuer, algorithm="none"):
    head = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "kid": "first"}).encode()).rstrip(b"=")
    return b".".join([head, *issuer.token().encode().split(b".")[1:2], b""]).decode()


def signed_with_the_public_key(issuer):
    """The classic confusion: HMAC with the published key as the secret."""
    import hashlib
    import hmac

    head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"first"}').rstrip(b"=")
    body = head + b"." + issuer.token().split(".")[1].encode()
    mac = base64.urlsafe_b64encode(hmac.new(pem(issuer), body, hashlib.sha256).digest()).rstrip(b"=")
    return (body + b"." + mac).decode()


def with_a_published_secret(issuer):
    secret = b"secret" * 6
    issuer.extra.append({"kty": "oct", "kid": "shared", "k": base64.urlsafe_b64encode(secret).decode()})
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    return jwt.encode(claims, secret, algorithm="HS256", headers={"kid": "shared"})


def tampered(issuer):
    head, _, signature = issuer.token().split(".")
    body = base64.urlsafe_b64encode(json.dumps({"sub": "root", "scope": "admin"}).encode()).rstrip(b"=").decode()
    return f"{head}.{body}.{signature}"


def of_another_key_of_the_same_name(issuer):
    published = issuer.document()
    issuer.document = lambda: published
    issuer.rotate("first")
    return issuer.token()


def now():
    return int(time())


REFUSED = {
    "wrong issuer": lambda i: i.token(iss="https://evil.example"),
    "wrong audience": lambda i: i.token(aud="another-service"),
    "audience among none": lambda i: i.token(aud=[]),
    "expired": lambda i: i.token(exp=now() - 31),
    "not yet valid": lambda i: i.token(nbf=now() + 60),
    "no expiry": lambda i: i.token(drop="exp"),
    "no issuer": lambda i: i.token(drop="iss"),
    "no audience": lambda i: i.token(drop="aud"),
    "no subject": lambda i: i.token(drop="sub"),
    "algorithm none": unsigned,
    "algorithm None": lambda i: unsigned(i, "None"),
    "HMAC with the public key": signed_with_the_public_key,
    "a shared secret among the keys": with_a_published_secret,
    "another key of the same name": of_another_key_of_the_same_name,
    "claims exchanged": tampered,
    "signature cut": lambda i: i.token()[:-8],
    "no token": lambda i: "not.a.token",
    "empty": lambda i: "",
    "binary": lambda i: "\udcff.\udcff.\udcff",
    "huge": lambda i: i.token(padding="x" * 9000),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_bad_tokens_are_refused_alike(issuer, verify, kind):
    with pytest.raises(Unauthenticated) as refusal:
        verify(REFUSED[kind](issuer))
    assert refusal.value.detail == "the credential is not valid"


def test_a_small_clock_difference_is_tolerated(issuer, verify):
    assert verify(issuer.token(exp=now() - 20)).name == "oidc:pacs"
    assert verify(issuer.token(nbf=now() + 20)).name == "oidc:pacs"


def test_a_rotated_key_is_fetched_and_the_old_one_refused_once_old(issuer, verify, clock):
    old = issuer.token()
    assert verify(old)
    issuer.rotate("second")
    clock.now += 11
    assert verify(issuer.token())
    with pytest.raises(Unauthenticated):
        verify(old)
    assert issuer.fetches == 2


def test_a_withdrawn_key_is_refused_when_the_set_has_aged(issuer, verify, clock):
    old = issuer.token()
    assert verify(old)
    issuer.rotate("second")
    clock.now += 301
    with pytest.raises(Unauthenticated):
        verify(old)


def test_unknown_key_ids_do_not_make_a_fetch_each(issuer, verify, clock):
    assert verify(issuer.token())
    issuer.rotate("hidden", publish=False)
    for _ in range(5):
        clock.now += 1
        with pytest.raises(Unauthenticated):
            verify(issuer.token())
    assert issuer.fetches == 1


def test_known_keys_outlive_an_issuer_that_fails(issuer, verify, clock):
    assert verify(issuer.token())
    issuer.broken = True
    clock.now += 301
    with capture_logs() as logs:
        assert verify(issuer.token())
    assert [line["event"] for line in logs] == ["jwks_unreachable"]


def test_an_issuer_that_never_answered_refuses(issuer, verify):
    issuer.broken = True
    with pytest.raises(Unauthenticated):
        verify(issuer.token())
    issuer.broken = False
    assert verify(issuer.token())
