"""The build and deployment files, checked by reading: no container engine is needed."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from app.pacs.configuration import load
from app.pacs.nodes import DicomWebNode
from app.pacs.routing import Facts, decide

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture(scope="module")
def dockerfile():
    return (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize(
    "name", ["medpatchnet", "medpatchnet-cpu", "medpatchnet-pacs", "orthanc", "proxy", "prometheus"]
)
def test_every_container_runs_with_least_rights(compose, name):
    service = compose["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]


def test_only_the_tls_port_is_published_beyond_loopback(compose):
    published = {port for service in compose["services"].values() for port in service.get("ports", [])}
    assert {port for port in published if not port.startswith("127.0.0.1:")} == {"8443:8443"}
    assert not any(port.endswith(":8001") for port in published)


@pytest.mark.parametrize("name", ["medpatchnet", "medpatchnet-cpu", "medpatchnet-pacs"])
def test_the_container_has_authentication(compose, name):
    service = compose["services"][name]
    keys = service["environment"]["MEDPATCHNET_API_KEYS_FILE"]
    assert any(keys.startswith(volume.split(":")[1]) for volume in service["volumes"])


def test_keys_and_certificates_are_never_committed():
    assert "deploy/secrets/" in (ROOT / ".gitignore").read_text().split()


def test_the_gpu_profile_reserves_a_gpu(compose):
    service = compose["services"]["medpatchnet"]
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert service["environment"]["MEDPATCHNET_DEVICE"] == "cuda"


def test_the_grace_period_covers_the_drain(compose):
    from app.settings import Settings

    grace = int(compose["services"]["medpatchnet"]["stop_grace_period"].removesuffix("s"))
    assert grace > Settings.model_fields["drain_timeout_s"].default


def test_prometheus_scrapes_the_alias_that_both_profiles_share(compose):
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    (target,) = config["scrape_configs"][0]["static_configs"][0]["targets"]
    assert target == "medpatchnet:8001"
    for name in ("medpatchnet", "medpatchnet-cpu"):
        assert "medpatchnet" in compose["services"][name]["networks"]["default"]["aliases"]


def test_mounted_files_exist(compose):
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./") and not source.startswith("./deploy/secrets/"):
                assert (ROOT / source).exists(), source


def test_the_image_is_multi_stage_not_root_and_checks_its_health(dockerfile):
    assert len(re.findall(r"^FROM ", dockerfile, re.MULTILINE)) >= 3
    assert re.search(r"^USER (?!0|root)", dockerfile, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK .*\n?.*8001/readyz", dockerfile, re.MULTILINE)
    assert "MEDPATCHNET_ADMIN_PORT=8001" in dockerfile
    assert re.search(r"^ARG BASE_IMAGE=", dockerfile, re.MULTILINE)


def test_what_the_image_copies_exists_and_is_not_ignored(dockerfile):
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
            assert source in allowed, source


def test_the_console_command_and_the_entry_point_agree(dockerfile):
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert 'ENTRYPOINT ["medpatchnet"]' in dockerfile
    assert scripts == {"medpatchnet": "app.cli.main:main"}


def test_the_network_of_the_pacs_profile_is_wired(compose):
    """What each side calls the other is what the other calls itself."""
    service, orthanc = compose["services"]["medpatchnet-pacs"], compose["services"]["orthanc"]
    mounted = {volume.split(":")[1]: volume.split(":")[0] for volume in service["volumes"] + orthanc["volumes"]}
    config = load(ROOT / mounted[service["environment"]["MEDPATCHNET_PACS_FILE"]])
    archive = json.loads((ROOT / mounted["/etc/orthanc/orthanc.json"]).read_text())
    (known,) = archive["DicomModalities"].values()
    assert config.listener is not None
    assert (known["AET"], known["Port"]) == (config.listener.ae_title, config.listener.port)
    assert known["Host"] in service["networks"]["default"]["aliases"]
    assert config.listener.admits(archive["DicomAet"], "172.18.0.3")
    node = config.nodes["orthanc"]
    assert isinstance(node, DicomWebNode)
    assert node.url == f"http://orthanc:{archive['HttpPort']}{archive['DicomWeb']['Root'].rstrip('/')}"
    assert str(node.password_file).startswith("/run/secrets/pacs/")
    assert archive["LuaScripts"] == [path for path in mounted if path.endswith(".lua")]


def test_a_film_from_orthanc_is_analysed_and_no_result_is(compose):
    config = load(ROOT / "deploy/pacs/pacs.yaml")
    for modality, body_part in (("CR", "CHEST"), ("DX", "")):
        decision = decide(config.routes, Facts(modality, body_part, ("",), "ORTHANC"))
        assert decision is not None
        assert (decision.target, decision.outputs) == ("orthanc", ("sr", "sc", "gsps"))
    for modality in ("SR", "OT", "PR"):
        assert decide(config.routes, Facts(modality, "CHEST", ("",), "ORTHANC")) is None


def test_passwords_are_in_no_committed_file():
    archive = json.loads((ROOT / "deploy/orthanc/orthanc.json").read_text())
    assert archive["AuthenticationEnabled"] is True
    assert "RegisteredUsers" not in archive


def test_folders_of_the_service_belong_to_it(compose, dockerfile):
    """A named volume takes over the owner of the folder it hides."""
    for volume in compose["services"]["medpatchnet-pacs"]["volumes"]:
        source, target = volume.split(":")[:2]
        if not source.startswith("./"):
            assert re.search(rf"install -d -o medpatchnet .*{target}( |$)", dockerfile, re.MULTILINE), target
