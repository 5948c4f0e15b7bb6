"""Alert rules, their unit tests, the runbook and the dashboard belong together."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest

from app.telemetry import Metrics, PacsMetrics
from tests.programs import installed

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parent.parent.parent
RULES = ROOT / "deploy/prometheus/alerts.yml"
RULE_TESTS = sorted(RULES.parent.glob("*alerts_test.yml"))


@pytest.fixture(scope="module")
def alerts():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def test_promtool_finds_the_rules_in_order():
    done = subprocess.run([installed("promtool"), "check", "rules", RULES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_rules_pass_their_unit_tests():
    done = subprocess.run(
        [installed("promtool"), "test", "rules", *RULE_TESTS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_unit_tested_to_fire(alerts):
    tests = [test for file in RULE_TESTS for test in yaml.safe_load(file.read_text())["tests"]]
    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert fired == {alert["alert"] for alert in alerts}


def test_every_alert_has_a_section_in_the_runbook_and_the_other_way_round(alerts):
    sections = re.findall(
        r"^## (\w+)\n(.+?)(?=^## |\Z)", (ROOT / "docs/RUNBOOK.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert {name for name, _ in sections} == {alert["alert"] for alert in alerts}
    assert all("**Do:**" in text for _, text in sections)


def test_rules_and_dashboard_use_metrics_that_exist(alerts, client, rg1):
    client.post("/predict", content=rg1)
    text = client.get("/metrics").text
    metrics = Metrics()
    PacsMetrics(metrics)  # the service has these only where it is part of a radiology network
    text += generate_latest(metrics.registry).decode()
    known = set(re.findall(r"^# TYPE (medpatchnet_\w+) ", text, re.MULTILINE))
    panels = json.loads((ROOT / "deploy/grafana/medpatchnet.json").read_text())["panels"]
    expressions = [alert["expr"] for alert in alerts] + [t["expr"] for panel in panels for t in panel["targets"]]
    used = set(re.findall(r"\bmedpatchnet_\w+", " ".join(expressions)))
    for name in used:
        family = re.sub(r"_(bucket|sum|count)$", "", name)
        assert {family, family.removesuffix("_total"), name} & known, name
    assert re.search(r"^medpatchnet_ready 1.0$", text, re.MULTILINE)
