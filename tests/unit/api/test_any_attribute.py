"""Any value of any attribute gives a result or a problem that names the attribute, over whole requests.

Short here; the long run: ``uv run pytest -m slow -n 0 -s --timeout 7200 tests/unit/api/test_any_attribute.py``.
"""

import json
from collections import Counter
from itertools import count

import pytest
import torch
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydicom.datadict import dictionary_description, dictionary_keyword

from app.runtime.application import create_app
from app.settings import Settings
from tests.artifacts import records_with_points, save_small_artifact
from tests.malformed_radiographs import ATTRIBUTES, CONSEQUENTIAL, DECISIVE, Changes, changes_of, film_with

FEW, MANY, REPORTED_EVERY = 25, 20_000, 500
NOT_EXPLAINED = (Phase.reuse, Phase.generate, Phase.shrink)
ANY = st.one_of(changes_of(sorted(ATTRIBUTES)), changes_of(CONSEQUENTIAL), changes_of(DECISIVE))
ALL_KINDS = "/report?object=sr&object=sc&object=gsps&class=Edema"


class QuickEngine:
    """Evidence for every finding in every patch: the attributes of a radiograph do not reach the model."""

    device, precision = "cpu", "float32"

    def patch_logits(self, patches):
        return torch.linspace(-1, 2, 14).repeat(len(patches), 1)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    points = {"Edema": ("validated", {"balanced": 0.001}), "Pneumonia": ("validated", {"balanced": 0.999})}
    save_small_artifact(folder, "one", findings=records_with_points(points))
    configured = Settings(models_dir=folder, model="one", device="cpu", decode_workers=1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("app.runtime.models.make_engines", lambda *arguments: [QuickEngine()])
        with TestClient(create_app(configured)) as opened:
            yield opened


def check(client: TestClient, changes: Changes) -> list[str]:
    """Assert a good outcome of each request; returns the outcomes."""
    film, outcomes = film_with(changes), []
    for path in ("/predict", ALL_KINDS, "/report?object=fhir"):
        answer = client.post(path, content=film, headers={"Content-Type": "application/dicom"})
        if answer.status_code == 200:
            assert "x-object-problems" not in answer.headers, answer.headers["x-object-problems"]
            outcomes.append("200")
        else:
            outcomes.append(problem_about(json.loads(answer.content), changes))
    return outcomes


def problem_about(problem: dict, changes: Changes) -> str:
    """The code of a problem, which must name one of the changed attributes by its name or keyword."""
    assert problem["status"] in {413, 422}, problem
    names = [name for tag in changes for name in (dictionary_description(tag), dictionary_keyword(tag))]
    assert any(name.lower() in problem["detail"].lower() for name in names), (problem["detail"], names)
    return problem["type"].rpartition(":")[2]


@given(ANY)
@settings(max_examples=FEW, phases=NOT_EXPLAINED, suppress_health_check=list(HealthCheck))
def test_any_value_of_any_attribute_gives_a_result_or_a_problem_that_names_it(client, changes):
    check(client, changes)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_many_values_of_any_attribute_give_a_result_or_a_problem_that_names_it(client):
    outcomes: Counter[str] = Counter()
    examples = count(1)

    @given(ANY)
    @settings(max_examples=MANY, phases=NOT_EXPLAINED, suppress_health_check=list(HealthCheck))
    def run(changes):
        outcomes.update(check(client, changes))
        if (number := next(examples)) % REPORTED_EVERY == 0:
            print(f"{number} examples:", dict(outcomes))

    run()
