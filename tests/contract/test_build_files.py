"""The build and deployment files, read by the parser of Docker Compose and otherwise as text: no engine is needed."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from app.cli.setup import FILES, GRAFANA, NGINX, ORTHANC, SERVICE
from app.pacs.configuration import load
from app.pacs.nodes import DicomWebNode
from app.pacs.routing import Facts, decide

ROOT = Path(__file__).resolve().parent.parent.parent


SERVICES = ["medpatchnet", "medpatchnet-cpu", "medpatchnet-pacs"]
TOOLS = ["setup", "keys", "check"]
NEIGHBOURS = ["orthanc", "proxy", "prometheus", "alertmanager", "grafana"]


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture(scope="module")
def parsed():
    """What Docker Compose makes of the file, with every profile."""
    docker_compose = Path(sys.executable).with_name("docker-compose")
    command = [docker_compose, "--file", ROOT / "docker-compose.yml", "--profile", "*", "config", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def dockerfile():
    return (ROOT / "Dockerfile").read_text()


def test_docker_compose_reads_the_file(parsed):
    assert set(parsed["services"]) == {*SERVICES, *TOOLS, *NEIGHBOURS}


@pytest.mark.parametrize("name", [*SERVICES, *TOOLS, *NEIGHBOURS])
def test_every_container_runs_with_least_rights_and_bounds(parsed, name):
    service = parsed["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert int(service["mem_limit"]) > 0
    assert service["cpus"] > 0
    assert service["pids_limit"] > 0
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


def test_only_the_tools_of_setup_run_as_root_and_without_a_network(parsed):
    root = {name for name, service in parsed["services"].items() if service.get("user", "").startswith("0:")}
    assert root == {name for name, service in parsed["services"].items() if "cap_add" in service} == {"setup", "check"}
    for name in TOOLS:
        assert parsed["services"][name]["network_mode"] == "none"


def test_every_image_has_an_exact_tag(parsed, dockerfile):
    others = [service["image"] for service in parsed["services"].values() if "build" not in service]
    bases = [image for image in re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE) if ":" in image]
    assert len(others) + len(bases) == len(NEIGHBOURS) + 3
    for image in [*others, *bases]:
        assert re.search(r":v?\d+\.\d+(\.\d+)?(-[a-z]+)?$", image), image


def test_only_the_tls_port_is_published_beyond_loopback(compose):
    published = {port for service in compose["services"].values() for port in service.get("ports", [])}
    assert {port for port in published if not port.startswith("127.0.0.1:")} == {"8443:8443"}
    assert not any(port.endswith(":8001") for port in published)


@pytest.mark.parametrize("name", SERVICES)
def test_the_container_has_authentication(compose, name):
    service = compose["services"][name]
    keys = service["environment"]["MEDPATCHNET_API_KEYS_FILE"]
    assert any(keys.startswith(volume.split(":")[1]) for volume in service["volumes"])


def test_a_service_starts_only_after_the_check_of_its_files(parsed):
    """Its restart policy would otherwise start it again and again without a key."""
    check = parsed["services"]["check"]
    assert (check["entrypoint"], check["restart"]) == (["medpatchnet", "setup", "/secrets", "--check"], "no")
    mounting = {
        name: service
        for name, service in parsed["services"].items()
        if name not in TOOLS
        and any(volume["source"].startswith(f"{ROOT}/deploy/secrets/") for volume in service["volumes"])
    }
    assert mounting.keys() >= {*SERVICES, "orthanc", "proxy", "grafana"}
    for service in mounting.values():
        assert service["depends_on"]["check"]["condition"] == "service_completed_successfully"
        assert set(service["profiles"]) <= set(check["profiles"])


def test_setup_makes_every_mounted_secret_for_the_user_that_reads_it(parsed):
    users = {"orthanc": ORTHANC, "proxy": NGINX, "grafana": GRAFANA}
    owners = {file.path: file.user for file in FILES}
    for name, service in parsed["services"].items():
        for volume in service.get("volumes", []):
            _, _, path = volume["source"].partition(f"{ROOT}/deploy/secrets/")
            if path:
                files = [file for file in owners if file == path or file.startswith(f"{path}/")]
                user = users.get(name, SERVICE)
                assert [owners[file] for file in files] == [user] * max(len(files), 1)
                assert service.get("user", f"{SERVICE}:").startswith(f"{user}:")


def test_a_tool_for_keys_writes_the_file_that_the_services_read(parsed):
    keys = parsed["services"]["keys"]
    assert keys["environment"] == {"MEDPATCHNET_API_KEYS_FILE": "/run/secrets/keys/api-keys.json"}
    (volume,) = keys["volumes"]
    assert (volume["target"], volume.get("read_only", False)) == ("/run/secrets/keys", False)


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
    for name in SERVICES:
        assert "medpatchnet" in compose["services"][name]["networks"]["default"]["aliases"]
        assert set(compose["services"][name]["profiles"]) <= set(compose["services"]["prometheus"]["profiles"])


def test_alerts_reach_alertmanager_and_dashboards_prometheus(parsed):
    prometheus = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    (alertmanager,) = prometheus["alerting"]["alertmanagers"]
    assert alertmanager["static_configs"] == [{"targets": ["alertmanager:9093"]}]
    (source,) = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
    dashboards = yaml.safe_load((ROOT / "deploy/grafana/provisioning/dashboards/medpatchnet.yml").read_text())
    folder = dashboards["providers"][0]["options"]["path"]
    mounted = {volume["target"] for volume in parsed["services"]["grafana"]["volumes"]}
    assert f"{folder}/medpatchnet.json" in mounted


def test_nginx_reads_the_certificate_that_setup_makes(parsed):
    volumes = {volume["target"]: volume["source"] for volume in parsed["services"]["proxy"]["volumes"]}
    assert volumes["/run/secrets/tls"] == f"{ROOT}/deploy/secrets/tls"
    configuration = (ROOT / "deploy/nginx/medpatchnet.conf").read_text()
    named = re.findall(r"^ +ssl_certificate(?:_key)? +/run/secrets/(\S+);", configuration, re.MULTILINE)
    assert set(named) == {file.path for file in FILES if file.path.startswith("tls/")}


def test_grafana_asks_nobody_for_news_versions_and_plugins(parsed):
    environment = parsed["services"]["grafana"]["environment"]
    for name in ("REPORTING_ENABLED", "CHECK_FOR_UPDATES", "CHECK_FOR_PLUGIN_UPDATES"):
        assert environment[f"GF_ANALYTICS_{name}"] == "false"
    assert environment["GF_NEWS_NEWS_FEED_ENABLED"] == "false"
    assert environment["GF_PLUGINS_PREINSTALL_DISABLED"] == "true"


def test_mounted_files_exist(compose):
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./") and not source.startswith("./deploy/secrets"):
                assert (ROOT / source).exists(), source


def test_the_image_is_multi_stage_not_root_and_checks_its_health(dockerfile):
    assert len(re.findall(r"^FROM ", dockerfile, re.MULTILINE)) >= 3
    assert re.search(r"^USER (?!0|root)", dockerfile, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK .*\n?.*8001/readyz", dockerfile, re.MULTILINE)
    assert "MEDPATCHNET_ADMIN_PORT=8001" in dockerfile


def test_both_images_are_built_by_the_same_steps(parsed, dockerfile):
    variants = {name: parsed["services"][name]["build"]["args"] for name in SERVICES}
    assert variants == {
        "medpatchnet": {"VARIANT": "cuda"},
        "medpatchnet-cpu": {"VARIANT": "cpu"},
        "medpatchnet-pacs": {"VARIANT": "cpu"},
    }
    assert re.findall(r"^RUN install-packages (.+)$", dockerfile, re.MULTILINE) == [
        "${VARIANT} --no-install-project",
        "${VARIANT}",
    ]
    assert "COPY deploy/image/install.sh /usr/local/bin/install-packages\n" in dockerfile


def test_the_cpu_image_leaves_out_all_that_only_torch_for_cuda_needs():
    script = (ROOT / "deploy/image/install.sh").read_text()
    (pattern,) = re.findall(r"for package in \$\(locked \| grep -E '(.+?)'", script)
    locked = {package["name"]: package for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    waiting = [needed["name"] for needed in locked["torch"]["dependencies"] if "linux" in needed.get("marker", "")]
    of_cuda: set[str] = set()
    while waiting:
        name = waiting.pop()
        of_cuda.add(name)
        extras = [needed for extra in locked[name].get("optional-dependencies", {}).values() for needed in extra]
        needed_by_it = {needed["name"] for needed in [*locked[name].get("dependencies", []), *extras]}
        waiting.extend(needed_by_it - of_cuda)
    assert {"triton", "nvidia-cudnn-cu13", "nvidia-cublas"} <= of_cuda
    assert [name for name in of_cuda if not re.match(pattern, name)] == []


def test_both_images_have_the_driver_of_postgresql():
    script = (ROOT / "deploy/image/install.sh").read_text()
    (of_both,) = re.findall(r"^ +uv .*--locked.*$", script, re.MULTILINE)
    assert "--extra postgres" in of_both


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
