"""The shipped TLS proxy in front of a real service, with and without client certificates."""

import socket
import ssl

import httpx
import pytest

from tests.integration.tls import certificate, tls_proxy

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def proxy(guarded, tmp_path_factory):
    with tls_proxy(guarded.url, tmp_path_factory.mktemp("nginx")) as proxy:
        yield proxy


def test_a_film_goes_through_tls(proxy, keys, rg1):
    with httpx.Client(base_url=proxy.url, verify=proxy.trusted(), trust_env=False, timeout=60) as client:
        answer = client.post("/predict", content=rg1, headers={"X-API-Key": keys[1]})
    assert answer.status_code == 200
    assert "max-age" in answer.headers["strict-transport-security"]


def test_the_proxy_streams_bodies_and_keeps_none(proxy):
    """An unknown caller is refused while most of the body is still to come: nginx did not wait for it."""
    with (
        socket.create_connection(("127.0.0.1", proxy.port)) as raw,
        proxy.trusted().wrap_socket(raw, server_hostname="localhost") as tls,
    ):
        tls.settimeout(10)
        tls.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n" + bytes(1000))
        assert tls.recv(100).startswith(b"HTTP/1.1 401")
    assert not any((proxy.folder / "client_body").iterdir())


def test_old_tls_is_refused(proxy):
    old = proxy.trusted()
    with pytest.warns(DeprecationWarning, match="TLS"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", proxy.port)) as raw, pytest.raises(ssl.SSLError):
        old.wrap_socket(raw, server_hostname="localhost")


@pytest.fixture(scope="module")
def mutual_proxy(guarded, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mutual")
    certificate(folder, "clients-ca")
    certificate(folder, "stranger")
    certificate(folder, "pacs", issuer="clients-ca")
    with tls_proxy(guarded.url, folder, client_certificates=True) as proxy:
        yield proxy


@pytest.mark.parametrize(("client", "status"), [(None, 400), ("stranger", 400), ("pacs", 200)])
def test_with_client_certificates_only_those_whom_the_authority_signed_reach_the_service(
    mutual_proxy, keys, rg1, client, status
):
    trusted = mutual_proxy.trusted()
    if client is not None:
        trusted.load_cert_chain(mutual_proxy.folder / f"{client}.crt", mutual_proxy.folder / f"{client}.key")
    with httpx.Client(base_url=mutual_proxy.url, verify=trusted, trust_env=False, timeout=60) as session:
        answer = session.post("/predict", content=rg1, headers={"X-API-Key": keys[1]})
    assert answer.status_code == status
    if status == 400:
        assert "x-request-id" not in answer.headers  # nginx answered; the service was not asked
