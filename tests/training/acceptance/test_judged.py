"""The verdict of each finding, how many radiographs it needs, and figures that do not flatter themselves."""

import numpy as np
import pytest
from scipy.special import expit

from app.patchnet.findings import FINDING_NAMES
from app.patchnet.manifest import Reference
from tests.training.acceptance.conftest import EDEMA, LESION, observed_films
from training.acceptance.cross_fitting import cross_calibrated, cross_decided
from training.acceptance.drift import drift, local_reference
from training.acceptance.judged import judge
from training.acceptance.observed import Observed
from training.acceptance.sample_size import positives_for, positives_to_validate
from training.measure.metrics import calibration_error, proportion


def judged(observed, manifest):
    return {finding.name: finding for finding in judge(observed, manifest, "site", 300)}


def test_every_verdict_has_its_reason(manifest):
    found = judged(observed_films(), manifest)
    verdicts = {name: finding.verdict for name, finding in found.items()}
    assert verdicts["Edema"] == "adopt"
    assert verdicts["Pneumonia"] == "adopt with own operating point"
    assert "instead of 0.99" in found["Pneumonia"].reason
    assert verdicts["Cardiomegaly"] == "adopt with own operating point"  # imported: it has no threshold
    assert verdicts["Lung Lesion"] == "do not use"
    assert verdicts["Enlarged Cardiomediastinum"] == "do not use"
    assert verdicts["Fracture"] == "too few radiographs"
    assert "0 positive and 0 negative, needed are 20 of each" in found["Fracture"].reason


def test_eighteen_films_are_too_few_for_every_finding(manifest):
    assert {finding.verdict for finding in judge(observed_films(18), manifest, "site", 300)} == {"too few radiographs"}


def test_an_untrained_finding_is_not_used(manifest):
    records = [
        record.model_copy(update={"status": "untrained", "operating_points": {}, "quality": None})
        if record.name == "Edema"
        else record
        for record in manifest.findings
    ]
    found = judged(observed_films(), manifest.model_copy(update={"findings": tuple(records)}))
    assert (found["Edema"].verdict, found["Edema"].quality) == ("do not use", None)


def test_calibration_for_other_patients_is_better_than_what_it_started_from():
    observed = observed_films(2_000)
    labels = observed.labels[:, EDEMA]
    before = calibration_error(expit(observed.logits[:, EDEMA]), labels)
    after = calibration_error(cross_calibrated(observed.logits, observed.labels, observed.groups)[:, EDEMA], labels)
    assert after < before / 2


def test_thresholds_are_measured_on_patients_that_did_not_choose_them():
    observed = observed_films(60)
    noise, labels = observed.logits[:, [LESION]], observed.labels[:, [LESION]]
    logits = np.repeat(noise, 14, axis=1)
    called = cross_decided(logits, np.repeat(labels, 14, axis=1), observed.groups, LESION)["balanced"].called
    flipped = labels[:, 0].copy()
    flipped[observed.groups % 5 == 0] = 1 - flipped[observed.groups % 5 == 0]
    again = cross_decided(logits, np.repeat(flipped[:, None], 14, axis=1), observed.groups, LESION)["balanced"].called
    first_fold = observed.groups % 5 == 0
    np.testing.assert_array_equal(called[first_fold], again[first_fold])  # its labels have no part in its threshold


@pytest.mark.parametrize(("half_width", "positives"), [(0.10, 49), (0.05, 196)])
def test_the_positives_for_an_interval(half_width, positives):
    assert positives_for(half_width) == positives
    found = proportion(round(0.85 * positives), positives)
    assert (found.high - found.low) / 2 == pytest.approx(half_width, rel=0.1)


def test_the_positives_that_validate_grow_as_the_auroc_approaches_the_limit():
    assert positives_to_validate(0.95, 5) < positives_to_validate(0.80, 5) < positives_to_validate(0.72, 5)
    assert positives_to_validate(0.70, 5) is None


def test_drift_is_the_distance_of_the_alerts(manifest):
    observed = observed_films()
    local = local_reference(observed, manifest, "site")
    same = manifest.model_copy(update={"reference": local})
    assert max(drift(local, same).probabilities.values()) == 0
    away = Reference(
        dataset="elsewhere",
        films=10,
        probability_tenths=dict.fromkeys(FINDING_NAMES, (1.0, *((0.0,) * 9))),
        evidence_regions=(1.0, 0.0, 0.0, 0.0, 0.0),
    )
    found = drift(local, manifest.model_copy(update={"reference": away}))
    assert found.probabilities["Edema"] == pytest.approx(1 - local.probability_tenths["Edema"][0])
    assert "Edema" in found.unlike
    assert drift(local, manifest) is None


def test_the_outputs_are_read_as_they_were_written(tmp_path):
    observed = observed_films(20)
    observed.save(tmp_path / "outputs.npz")
    again = Observed.read(tmp_path / "outputs.npz")
    np.testing.assert_array_equal(again.patch_logits, observed.patch_logits)
    assert again.fingerprint == observed.fingerprint
    order = np.arange(20)[::-1]
    turned = Observed(
        observed.patch_logits[order],
        observed.labels[order],
        tuple(observed.hashes[index] for index in order),
        observed.groups[order],
    )
    assert turned.fingerprint == observed.fingerprint
