"""Every route × every state of the credential, over the real application."""

import os
from dataclasses import dataclass

import pytest
from fastapi import APIRouter
from fastapi.testclient import TestClient

from app.access.callers import SCOPES
from app.access.gate import is_loopback
from app.access.keys import add_key, new_key, record_of
from app.api.security import GuardedRoute
from app.errors import ConfigurationError
from app.runtime.application import create_app
from app.settings import Settings
from tests.artifacts import save_small_artifact
from tests.factories import chest_dicom
from tests.unit.access.issuer import AUDIENCE, ISSUER, running_issuer

ADMIN_PORT = 8001


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_small_artifact(folder, "one")
    return folder


@dataclass
class Guarded:
    app: object
    client: TestClient
    admin: TestClient
    issuer: object
    keys: dict[str, str]


@pytest.fixture(scope="module")
def guarded(models_dir, tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    keys = {scope: new_key() for scope in SCOPES}
    for scope, key in keys.items():
        add_key(path, record_of(key, f"client-{scope}", [scope]))
    with running_issuer() as issuer:
        settings = Settings(
            models_dir=models_dir, model="one", device="cpu", decode_workers=1, api_keys_file=path, host="0.0.0.0",
            oidc_issuer=ISSUER, oidc_audience=AUDIENCE, oidc_jwks_url=issuer.jwks_url,
        )  # fmt: skip
        app = create_app(settings)
        app.state.admin_port = ADMIN_PORT
        with TestClient(app) as client:
            admin = TestClient(app, base_url=f"http://testserver:{ADMIN_PORT}")
            yield Guarded(app, client, admin, issuer, keys)


FILM = chest_dicom()
QUESTION = {"grids": [{"finding": "Edema", "patch_logits": [[1, 2], [3, 4]]}], "remove": []}
# Every route: what it requires, a request that it answers, and with which status once the caller is let in.
REQUESTS = {
    ("POST", "/predict"): ("predict", {"content": FILM}, 200),
    ("POST", "/explain"): ("explain", {"content": FILM, "params": {"class": "Edema"}}, 200),
    ("POST", "/compare"): ("explain", {"files": {"current": FILM, "prior": FILM}}, 200),
    ("POST", "/report"): ("report", {"content": FILM, "params": {"object": "sr"}}, 200),
    ("POST", "/film"): ("explain", {"content": FILM}, 200),
    ("POST", "/whatif"): ("explain", {"json": QUESTION}, 200),
    ("POST", "/studies/{study}/analyze"): ("analyze", {"params": {"source": "a", "target": "b"}}, 422),
    ("GET", "/jobs/{job}"): ("analyze", {}, 422),
    ("GET", "/findings"): ("any", {}, 200),
    ("GET", "/model"): ("any", {}, 200),
    ("GET", "/v2"): ("public", {}, 200),
    ("GET", "/v2/health/live"): ("public", {}, 200),
    ("GET", "/v2/health/ready"): ("public", {}, 200),
    ("GET", "/v2/models/{model}"): ("any", {}, 422),
    ("GET", "/v2/models/{model}/ready"): ("any", {}, 422),
    ("POST", "/v2/models/{model}/infer"): ("predict", {}, 422),
    ("GET", "/v2/models/{model}/versions/{version}"): ("any", {}, 422),
    ("GET", "/v2/models/{model}/versions/{version}/ready"): ("any", {}, 422),
    ("POST", "/v2/models/{model}/versions/{version}/infer"): ("predict", {}, 422),
    ("GET", "/"): ("public", {}, 200),
    ("GET", "/viewer/{name}"): ("public", {}, 404),
    ("GET", "/viewer/example"): ("public", {}, 200),
    ("GET", "/livez"): ("public", {}, 200),
    ("GET", "/readyz"): ("public", {}, 200),
    ("GET", "/health"): ("operations", {}, 200),
    ("GET", "/metrics"): ("operations", {}, 200),
    ("GET", "/shadow"): ("operations", {}, 404),
}  # fmt: skip


# What answers without the gate: the documentation of the interface and static files. Nothing of a request or result.
UNGUARDED = {"/openapi.json", "/docs", "/docs/oauth2-redirect", "/static-offline-docs"}


def all_routes(routes):
    """Every route, also those of included routers."""
    for route in routes:
        included = getattr(route, "original_router", None)
        yield from [route] if included is None else all_routes(included.routes)


@pytest.fixture(scope="module")
def routes():
    found = list(all_routes(create_app(Settings()).routes))
    assert len(found) > 10
    return found


def test_every_route_declares_what_it_requires(routes):
    undeclared = {route.path for route in routes if not isinstance(route, GuardedRoute)}
    assert undeclared == UNGUARDED
    declared = {route.requirement for route in routes if isinstance(route, GuardedRoute)}
    assert declared <= {*SCOPES, "any", "operations", "public"}


def test_the_matrix_has_every_route_and_what_it_declares(routes):
    declared = {
        (method, route.path): route.requirement
        for route in routes
        if isinstance(route, GuardedRoute)
        for method in route.methods
    }
    assert {route: requirement for route, (requirement, _, _) in REQUESTS.items()} == declared


def test_a_handler_that_declares_nothing_is_no_route():
    async def forgotten():
        return None

    router = APIRouter(route_class=GuardedRoute)
    with pytest.raises(TypeError, match="forgotten"):
        router.add_api_route("/forgotten", forgotten)


def key_of(scope):
    return lambda guarded: {"X-API-Key": guarded.keys[scope]}


def bearer_key_of(scope):
    return lambda guarded: {"Authorization": f"Bearer {guarded.keys[scope]}"}


def token_of(scope, **claims):
    return lambda guarded: {"Authorization": f"bearer {guarded.issuer.token(scope=scope, **claims)}"}


KINDS = {"key": key_of, "bearer key": bearer_key_of, "token": token_of}
GOOD = {f"{kind} {scope}": (scope, make(scope)) for scope in SCOPES for kind, make in KINDS.items()}
BAD = {
    "nothing": lambda g: {},
    "an empty key": lambda g: {"X-API-Key": ""},
    "an unknown key": lambda g: {"X-API-Key": new_key()},
    "a key cut short": lambda g: {"X-API-Key": g.keys["predict"][:-1]},
    "a hash instead of the key": lambda g: {"X-API-Key": record_of(g.keys["admin"], "x", ["admin"]).sha256},
    "basic": lambda g: {"Authorization": "Basic YWRtaW46YWRtaW4="},
    "two credentials": lambda g: {"X-API-Key": g.keys["admin"], "Authorization": f"Bearer {g.keys['admin']}"},
    "a token as key": lambda g: {"X-API-Key": g.issuer.token(scope="admin")},
    "an expired token": token_of("predict explain report admin", exp=1),
    "a token for others": token_of("predict explain report admin", aud="others"),
    "a token of others": token_of("predict explain report admin", iss="https://others.example"),
}


@pytest.mark.parametrize("credential", GOOD)
@pytest.mark.parametrize("route", REQUESTS, ids=lambda route: route[1])
def test_a_valid_credential_opens_what_its_scope_covers(guarded, route, credential):
    scope, headers = GOOD[credential]
    requirement, options, status = REQUESTS[route]
    answer = guarded.client.request(*route, headers=headers(guarded), **options)
    needed = "admin" if requirement == "operations" else requirement
    if needed in {scope, "any", "public"}:
        assert answer.status_code == status, answer.text
    else:
        assert answer.status_code == 403
        assert answer.json()["type"] == "urn:medpatchnet:problem:forbidden"
        assert f'error="insufficient_scope", scope="{needed}"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("credential", BAD)
@pytest.mark.parametrize("route", REQUESTS, ids=lambda route: route[1])
def test_no_or_a_bad_credential_opens_what_is_public(guarded, route, credential):
    requirement, options, status = REQUESTS[route]
    answer = guarded.client.request(*route, headers=BAD[credential](guarded), **options)
    if requirement == "public":
        assert answer.status_code == status
    else:
        assert answer.status_code == 401
        assert answer.json()["type"] == "urn:medpatchnet:problem:unauthenticated"
        challenge = answer.headers["www-authenticate"]
        assert challenge.startswith('Bearer realm="medpatchnet"')
        assert ("invalid_token" in challenge) == (credential != "nothing")


@pytest.mark.parametrize("route", REQUESTS, ids=lambda route: route[1])
def test_the_admin_port_has_operations_and_nothing_else(guarded, route):
    requirement, options, status = REQUESTS[route]
    answer = guarded.admin.request(*route, headers={"X-API-Key": guarded.keys["predict"]}, **options)
    assert answer.status_code == (status if requirement in {"public", "operations"} else 404)


def test_the_body_is_not_read_before_the_caller_is_known(guarded):
    broken = {"content": b"{not json", "headers": {"Content-Type": "application/json"}}
    assert guarded.client.post("/whatif", **broken).status_code == 401
    broken["headers"] |= key_of("explain")(guarded)
    assert guarded.client.post("/whatif", **broken).status_code == 400


def test_a_result_is_only_its_callers(guarded):
    predicted = guarded.client.post("/predict", content=FILM, headers=token_of("predict explain")(guarded)).json()
    question = {"request_id": predicted["request_id"], "remove": []}
    own = guarded.client.post("/whatif", json=question, headers=token_of("explain")(guarded))
    foreign = guarded.client.post("/whatif", json=question, headers=key_of("explain")(guarded))
    assert (own.status_code, foreign.status_code) == (200, 404)


def test_refusals_are_counted_by_reason(guarded):
    text = guarded.admin.get("/metrics").text
    for reason in ("unauthenticated", "forbidden"):
        assert f'medpatchnet_requests_rejected_total{{reason="{reason}"}}' in text


def test_an_odd_route_needs_no_credential_to_be_missing(guarded):
    assert guarded.client.get("/nothing").status_code == 404
    assert guarded.client.get("/predict").status_code == 405


def test_one_client_over_its_rate_is_refused_and_another_is_not(models_dir, tmp_path):
    path = tmp_path / "keys.json"
    keys = [new_key(), new_key()]
    for index, key in enumerate(keys):
        add_key(path, record_of(key, f"client-{index}", ["predict"]))
    settings = Settings(
        models_dir=models_dir, model="one", device="cpu", decode_workers=1, api_keys_file=path, rate_per_s=0.001,
        rate_burst=3,
    )  # fmt: skip
    with TestClient(create_app(settings)) as client:
        answers = [client.get("/findings", headers={"X-API-Key": keys[0]}) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[-1].json()["type"] == "urn:medpatchnet:problem:rate_limited"
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert client.get("/findings", headers={"X-API-Key": keys[1]}).status_code == 200
        assert client.get("/livez").status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "", "no such host"])
def test_listening_to_others_without_authentication_ends_the_start(models_dir, host):
    app = create_app(Settings(models_dir=models_dir, model="one", device="cpu", host=host))
    with pytest.raises(ConfigurationError, match="authentication"), TestClient(app):
        pass


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_is_recognised(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "change",
    [{"oidc_audience": ""}, {"oidc_jwks_url": ""}, {"oidc_jwks_url": "http://192.0.2.1/keys"}, {"oidc_jwks_url": "ftp://x/y"}],
)  # fmt: skip
def test_half_a_configuration_of_tokens_ends_the_start(models_dir, change):
    options = {"oidc_issuer": ISSUER, "oidc_audience": AUDIENCE, "oidc_jwks_url": "https://login.example/keys"} | change
    app = create_app(Settings(models_dir=models_dir, model="one", device="cpu", **options))
    with pytest.raises(ConfigurationError, match="OIDC"), TestClient(app):
        pass


def test_no_key_or_token_is_logged(guarded, caplog):
    from structlog.testing import capture_logs

    with capture_logs() as logs:
        guarded.client.get("/findings", headers=key_of("predict")(guarded))
        guarded.client.get("/findings", headers=token_of("predict")(guarded))
    assert guarded.keys["predict"] not in str(logs)
    assert "eyJ" not in str(logs)
    assert os.environ.get("MEDPATCHNET_API_KEYS_FILE") is None
