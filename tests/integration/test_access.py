"""Authentication over real sockets: the start, the two ports."""

import httpx
import pytest

from tests.integration.conftest import medpatchnet
from tests.waiting import eventually

pytestmark = pytest.mark.integration


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


def test_a_key_made_while_the_service_runs_is_valid_without_a_restart(guarded, keys):
    made = medpatchnet("keys", "new", "pacs", "--scope", "predict", "--file", str(keys[0]))
    with guarded.client() as client:

        def are_valid():
            answers = [client.get("/findings", headers={"X-API-Key": key}) for key in (keys[1], made.stdout.strip())]
            return all(answer.status_code == 200 for answer in answers)

        eventually(are_valid)
