"""The manifests for Kubernetes, rendered by kubectl and checked against the schemas of the API."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from cloudcoil.models.prometheus_operator.v1 import ServiceMonitor

from app.pacs.configuration import load
from app.pacs.nodes import DicomWebNode
from app.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs/KUBERNETES.md").read_text()
CUSTOM = {"ScaledObject": ScaledObject, "ServiceMonitor": ServiceMonitor}
API_VERSIONS = ("1.32", "1.37")


def rendered(folder: Path) -> list[dict]:
    kubectl = Path(sys.executable).with_name("kubectl")
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module", params=["cpu", "gpu"])
def variant(request):
    return request.param


@pytest.fixture(scope="module")
def manifests(variant):
    return rendered(ROOT / "deploy/kubernetes/overlays" / variant)


def one(manifests: list[dict], kind: str, name: str = "medpatchnet") -> dict:
    (found,) = [item for item in manifests if (item["kind"], item["metadata"]["name"]) == (kind, name)]
    return found


@pytest.fixture
def pod(manifests):
    return one(manifests, "Deployment")["spec"]["template"]["spec"]


@pytest.fixture
def container(pod):
    (container,) = pod["containers"]
    assert "initContainers" not in pod
    return container


def settings_of(container: dict) -> dict[str, str | None]:
    return {entry["name"]: entry.get("value") for entry in container["env"]}


def test_every_manifest_follows_the_schema_of_its_api(manifests):
    for item in manifests:
        if model := CUSTOM.get(item["kind"]):
            read = model.model_validate(item).model_dump(mode="json", by_alias=True, exclude_unset=True)
            assert read == item  # the models drop what they do not know
        else:
            for version in API_VERSIONS:
                kubernetes_validate.validate(item, version, strict=True)
    assert {"Deployment", "PodDisruptionBudget", "NetworkPolicy", *CUSTOM} <= {item["kind"] for item in manifests}


def test_no_secret_is_in_a_manifest_and_everything_is_in_the_namespace(manifests):
    assert not [item for item in manifests if item["kind"] == "Secret"]
    others = [item for item in manifests if item["kind"] != "Namespace"]
    assert {item["metadata"]["namespace"] for item in others} == {"medpatchnet"}
    labels = one(manifests, "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_selectors_find_the_pods(manifests):
    labels = one(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [item["spec"]["selector"] for item in manifests if item["kind"] == "Service"]
    selectors += [
        one(manifests, kind)["spec"]["selector"]["matchLabels"] for kind in ("Deployment", "PodDisruptionBudget")
    ]
    selectors.append(one(manifests, "NetworkPolicy", "medpatchnet-pacs")["spec"]["podSelector"]["matchLabels"])
    assert len(selectors) == 6
    for selector in selectors:
        assert selector.items() <= labels.items()
    monitored = one(manifests, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
    admin = one(manifests, "Service", "medpatchnet-admin")
    assert monitored.items() <= admin["metadata"]["labels"].items()


def test_ports_of_the_services_are_those_of_the_container(manifests, container):
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert set(map(str, ports.values())) == set(re.findall(r"^EXPOSE (.+)$", dockerfile, re.MULTILINE)[0].split())
    for service in (item for item in manifests if item["kind"] == "Service"):
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]


def test_every_variable_is_a_setting_and_services_set_none(pod, container):
    names = {name.removeprefix("MEDPATCHNET_").lower() for name in settings_of(container)}
    assert names <= Settings.model_fields.keys()
    assert pod["enableServiceLinks"] is False


def test_the_grace_period_covers_the_drain(pod, container):
    settings = settings_of(container)
    delay, timeout = (float(settings[f"MEDPATCHNET_DRAIN_{part}_S"] or 0) for part in ("DELAY", "TIMEOUT"))
    unready = container["readinessProbe"]["periodSeconds"] * container["readinessProbe"]["failureThreshold"]
    assert delay > unready
    assert pod["terminationGracePeriodSeconds"] > delay + timeout


def test_probes_read_the_admin_port(container):
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}
    assert {container[f"{name}Probe"]["httpGet"]["port"] for name in paths} == {"admin"}


def test_only_the_gpu_variant_asks_for_a_gpu(variant, container):
    gpus = container["resources"]["limits"].get("nvidia.com/gpu")
    device = settings_of(container)["MEDPATCHNET_DEVICE"]
    assert (device, gpus) == {"cpu": ("cpu", None), "gpu": ("cuda", "1")}[variant]
    assert container["image"].endswith({"cpu": "-cpu", "gpu": "-cuda"}[variant])


def test_every_mounted_file_has_a_volume_and_what_can_be_written_is_mounted(pod, container):
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert {mount["name"] for mount in mounts.values()} == {volume["name"] for volume in pod["volumes"]}
    assert {path for path, mount in mounts.items() if not mount.get("readOnly")} == {"/tmp", "/var/cache/medpatchnet"}
    files = [value for name, value in settings_of(container).items() if name.endswith("_FILE") and value]
    assert all(str(Path(file).parent) in mounts for file in files)


def test_the_pacs_configuration_is_valid_and_its_archive_can_be_reached(manifests, tmp_path):
    (configuration,) = [item for item in manifests if item["kind"] == "ConfigMap"]
    (tmp_path / "pacs.yaml").write_text(configuration["data"]["pacs.yaml"])
    config = load(tmp_path / "pacs.yaml")
    node = config.nodes["archive"]
    assert isinstance(node, DicomWebNode)
    assert str(node.password_file) == "/run/secrets/medpatchnet/archive/password"
    assert config.listener is not None
    assert config.listener.admits("ARCHIVE", "192.0.2.10")
    assert one(manifests, "Service", "medpatchnet-dicom")["spec"]["externalTrafficPolicy"] == "Local"


def test_pods_connect_to_dns_archives_and_the_database_only(manifests):
    base, pacs = (one(manifests, "NetworkPolicy", name)["spec"] for name in ("medpatchnet", "medpatchnet-pacs"))
    assert base["podSelector"] == {}  # other pods of the namespace have no network
    assert base["policyTypes"] == ["Ingress", "Egress"]
    (dns,) = base["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert dns["to"][0]["podSelector"]["matchLabels"] == {"k8s-app": "kube-dns"}
    assert [port["port"] for rule in pacs["egress"] for port in rule["ports"]] == [443, 5432]
    for rule in [*base["ingress"], *base["egress"], *pacs["ingress"], *pacs["egress"]]:
        for peer in rule.get("from", rule.get("to")):  # a rule without peers would admit all
            assert peer.get("ipBlock", {"cidr": "/32"})["cidr"].endswith("/32")
            assert peer.get("namespaceSelector", {"matchLabels": 1})["matchLabels"]


def test_replicas_follow_the_queues(manifests):
    assert "replicas" not in one(manifests, "Deployment")["spec"]
    scaled = one(manifests, "ScaledObject")["spec"]
    assert scaled["scaleTargetRef"] == {"name": "medpatchnet"}
    assert scaled["minReplicaCount"] >= 2
    metrics = (ROOT / "docs/METRICS.md").read_text()
    for trigger in scaled["triggers"]:
        (name,) = re.findall(r"medpatchnet_\w+", trigger["metadata"]["query"])
        assert f"| `{name}` |" in metrics


def test_an_eviction_takes_one_replica(manifests):
    assert one(manifests, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


# The controls of the Pod Security Standards, level restricted, by their names there.
_SELINUX, _SAFE_VOLUMES = {"seLinuxOptions"}, {"configMap", "emptyDir", "secret"}
CONTROLS: dict[str, Callable[[dict, dict], bool]] = {
    "HostProcess": lambda pod, container: not (_context(pod) | _context(container)).get("windowsOptions"),
    "Host Namespaces": lambda pod, _: not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(),
    "Privileged Containers": lambda _, container: _context(container)["privileged"] is False,
    "Capabilities": lambda _, container: _context(container)["capabilities"] == {"drop": ["ALL"]},
    "HostPath Volumes": lambda pod, _: not any("hostPath" in volume for volume in pod["volumes"]),
    "Host Ports": lambda _, container: not any("hostPort" in port for port in container["ports"]),
    "Host Probes / Lifecycle Hooks": lambda _, container: (
        "lifecycle" not in container
        and not any("host" in container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness"))
    ),
    "AppArmor": lambda pod, container: "appArmorProfile" not in _context(pod) | _context(container),
    "SELinux": lambda pod, container: not _SELINUX & (_context(pod) | _context(container)).keys(),
    "/proc Mount Type": lambda _, container: "procMount" not in _context(container),
    "Seccomp": lambda pod, _: _context(pod)["seccompProfile"] == {"type": "RuntimeDefault"},
    "Sysctls": lambda pod, _: "sysctls" not in _context(pod),
    "Volume Types": lambda pod, _: all(volume.keys() - {"name"} <= _SAFE_VOLUMES for volume in pod["volumes"]),
    "Privilege Escalation": lambda _, container: _context(container)["allowPrivilegeEscalation"] is False,
    "Running as Non-root": lambda pod, container: (
        _context(pod)["runAsNonRoot"] is True and "runAsNonRoot" not in _context(container)
    ),
    "Running as Non-root user": lambda pod, container: (
        _context(pod)["runAsUser"] == 10001 and "runAsUser" not in _context(container)
    ),
}


def _context(part: dict) -> dict:
    return part["securityContext"]


@pytest.mark.parametrize("control", CONTROLS)
def test_the_restricted_pod_security_standard_is_met(pod, container, control):
    assert CONTROLS[control](pod, container)


def test_the_page_lists_every_control():
    table = PAGE.partition("## Security settings")[2]
    rows = re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)
    assert rows[1:] == list(CONTROLS)


def test_beyond_the_standard_the_root_is_read_only_and_resources_are_limited(pod, container):
    assert _context(container)["readOnlyRootFilesystem"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container["resources"]["limits"].keys() >= {"cpu", "memory", "ephemeral-storage"}
    assert {volume["secret"]["defaultMode"] for volume in pod["volumes"] if "secret" in volume} == {0o440}


def test_the_overlay_of_the_page_replaces_what_a_site_must_name(tmp_path):
    (block,) = re.findall(r"```yaml\n(.+?)```", PAGE, re.DOTALL)
    overlay = re.sub(r"^    ", "", block, flags=re.MULTILINE)
    overlay = overlay.replace("medpatchnet/deploy", os.path.relpath(ROOT / "deploy", tmp_path.resolve()))
    (tmp_path / "kustomization.yaml").write_text(overlay)
    (tmp_path / "pacs.yaml").write_text("routes: []\n")
    text = yaml.safe_dump_all(manifests := rendered(tmp_path))
    assert "192.0.2." not in text
    assert "hospital.example" not in text
    assert {"10.2.0.5/32", "10.3.0.9/32"} <= set(re.findall(r"cidr: (\S+)", text))
    (volume,) = [
        volume["configMap"]["name"]
        for volume in one(manifests, "Deployment")["spec"]["template"]["spec"]["volumes"]
        if "configMap" in volume
    ]
    assert one(manifests, "ConfigMap", volume)["data"] == {"pacs.yaml": "routes: []\n"}
