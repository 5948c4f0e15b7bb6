"""A token issuer of our own: a real HTTP server that publishes its keys, and tokens it signed."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from time import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = "https://login.hospital.example", "medpatchnet"


class TestIssuer:
    """Signs with its newest key; ``published`` are the ids it shows."""

    __test__ = False

    def __init__(self, url: str) -> None:
        self.jwks_url = url
        self.keys: dict[str, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey] = {}
        self.published: list[str] = []
        self.extra: list[dict[str, str]] = []
        self.fetches = 0
        self.broken = False
        self.rotate("first")

    def rotate(self, key_id: str, *, kind: str = "RSA", publish: bool = True) -> None:
        """A new signing key; the old ones are published no more."""
        make = (lambda: rsa.generate_private_key(65537, 2048)) if kind == "RSA" else ec_key
        self.keys[key_id] = make()
        self.published = [key_id] if publish else self.published

    def document(self) -> bytes:
        entries = []
        for key_id in self.published:
            key = self.keys[key_id].public_key()
            algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPublicKey) else ECAlgorithm
            entries.append(algorithm.to_jwk(key, as_dict=True) | {"kid": key_id, "use": "sig"})
        return b"no json" if self.broken else json.dumps({"keys": entries + self.extra}).encode()

    def token(self, *, key_id: str | None = None, algorithm: str = "RS256", drop: str = "", **claims: object) -> str:
        key_id = key_id or list(self.keys)[-1]
        now = int(time())
        body = {"iss": ISSUER, "aud": AUDIENCE, "sub": "pacs", "exp": now + 60, "scope": "openid predict"} | claims
        body.pop(drop, None)
        return jwt.encode(body, self.keys[key_id], algorithm=algorithm, headers={"kid": key_id})


def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@contextmanager
def running_issuer() -> Iterator[TestIssuer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            issuer.fetches += 1
            body = issuer.document()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer = TestIssuer(f"http://127.0.0.1:{server.server_port}/jwks")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()
