"""Authentication over real sockets: the start, the two ports, a TLS proxy."""

import os
import shutil
import socket
import ssl
import subprocess
import sys
from time import monotonic, sleep

import httpx
import pytest

from tests.programs import installed

pytestmark = pytest.mark.integration


def medpatchnet(*arguments, **settings):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MEDPATCHNET_")}
    environment |= {f"MEDPATCHNET_{name.upper()}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "app.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    made = medpatchnet("keys", "new", "pacs", "--scope", "predict", "--scope", "explain", api_keys_file=path)
    assert made.returncode == 0, made.stderr
    return path, made.stdout.strip()


@pytest.fixture(scope="module")
def guarded(start_service, keys):
    return start_service("--host", "0.0.0.0", api_keys_file=keys[0], admin_port=0)


def test_a_service_for_others_without_authentication_does_not_start():
    ended = medpatchnet("serve", "--host", "0.0.0.0", "--port", "0")
    assert ended.returncode == 1
    assert "configuration_error" in ended.stderr
    assert "MEDPATCHNET_API_KEYS_FILE" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("arguments", [("x",), ("x", "--scope", "root"), ("a b", "--scope", "predict")])
def test_a_key_needs_a_plain_name_and_a_known_scope(arguments, tmp_path):
    made = medpatchnet("keys", "new", *arguments, "--file", str(tmp_path / "keys.json"))
    assert made.returncode != 0
    assert made.stdout == ""
    assert not (tmp_path / "keys.json").exists()


def test_a_key_needs_a_file():
    assert medpatchnet("keys", "new", "x", "--scope", "predict").returncode == 1


def test_a_key_opens_the_door_and_nothing_else_does(guarded, keys, rg1):
    with guarded.client() as client:
        assert client.post("/predict", content=rg1).status_code == 401
        assert client.post("/predict", content=rg1, headers={"X-API-Key": keys[1]}).status_code == 200
        assert client.get("/metrics", headers={"X-API-Key": keys[1]}).status_code == 403
        assert client.get("/livez").status_code == client.get("/readyz").status_code == 200
    assert keys[1] not in guarded.log
    assert '"caller": "pacs"' in guarded.log


def test_the_admin_port_answers_operations_only(guarded, keys, rg1):
    with httpx.Client(base_url=guarded.admin_url, trust_env=False) as admin:
        for path in ("/livez", "/readyz", "/health", "/metrics"):
            assert admin.get(path).status_code == 200
        assert admin.post("/predict", content=rg1, headers={"X-API-Key": keys[1]}).status_code == 404
    assert guarded.admin_url.startswith("http://127.0.0.1:")


def test_a_key_made_while_the_service_runs_is_valid_within_a_second(guarded, keys):
    made = medpatchnet("keys", "new", "pacs", "--scope", "predict", "--file", str(keys[0]))
    deadline = monotonic() + 5
    with guarded.client() as client:
        while monotonic() < deadline:
            answers = [client.get("/findings", headers={"X-API-Key": key}) for key in (keys[1], made.stdout.strip())]
            if all(answer.status_code == 200 for answer in answers):
                return
            sleep(0.1)
    pytest.fail("the new key is not accepted")


@pytest.fixture(scope="module")
def proxy(guarded, pytestconfig, tmp_path_factory):
    """A real nginx with the shipped configuration, in front of the service."""
    folder = tmp_path_factory.mktemp("nginx")
    subprocess.run(
        [
            installed("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2",
            "-keyout", folder / "tls.key", "-out", folder / "tls.crt",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    text = (pytestconfig.rootpath / "deploy/nginx/medpatchnet.conf").read_text()
    text = text.replace("medpatchnet:8000", guarded.url.removeprefix("http://").replace("0.0.0.0", "127.0.0.1"))
    text = text.replace("8443", f"127.0.0.1:{port}").replace("/run/secrets/tls", str(folder))
    text = text.replace("    http2 on;\n", "")  # Debian's nginx is older than that directive
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\nhttp {{ {temporary}\n{text} }}\n"
    )
    process = subprocess.Popen([installed("nginx"), "-c", folder / "nginx.conf", "-e", folder / "error.log"])
    trusted = ssl.create_default_context(cafile=folder / "tls.crt")
    url = f"https://127.0.0.1:{port}"
    try:
        deadline = monotonic() + 10
        while monotonic() < deadline:
            try:
                httpx.get(f"{url}/livez", verify=trusted, trust_env=False)
                break
            except httpx.TransportError:
                sleep(0.05)
        with httpx.Client(base_url=url, verify=trusted, trust_env=False, timeout=60) as client:
            yield client, folder, port
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def test_a_film_goes_through_tls(proxy, keys, rg1):
    client, _, _ = proxy
    answer = client.post("/predict", content=rg1, headers={"X-API-Key": keys[1]})
    assert answer.status_code == 200
    assert "max-age" in answer.headers["strict-transport-security"]


def test_the_proxy_streams_bodies_and_keeps_none(proxy, keys):
    """An unknown caller is refused while most of the body is still to come: nginx did not wait for it."""
    _, folder, port = proxy
    trusted = ssl.create_default_context(cafile=folder / "tls.crt")
    with (
        socket.create_connection(("127.0.0.1", port)) as raw,
        trusted.wrap_socket(raw, server_hostname="localhost") as tls,
    ):
        tls.settimeout(10)
        tls.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n" + bytes(1000))
        assert tls.recv(100).startswith(b"HTTP/1.1 401")
    assert not any((folder / "client_body").iterdir())


def test_old_tls_is_refused(proxy):
    _, folder, port = proxy
    old = ssl.create_default_context(cafile=folder / "tls.crt")
    with pytest.warns(DeprecationWarning, match="TLS"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", port)) as raw, pytest.raises(ssl.SSLError):
        old.wrap_socket(raw, server_hostname="localhost")
