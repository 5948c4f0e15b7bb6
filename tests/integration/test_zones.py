"""Zones of the running service: exact sums for every finding, and nothing unless they are requested."""

import numpy as np
import pytest

from app.anatomy.zones import ZONES
from tests.factories import chest_dicom

pytestmark = pytest.mark.integration

DICOM = {"Content-Type": "application/dicom"}


@pytest.fixture(scope="module")
def answer(client, rg1):
    body = client.post("/explain?class=all&zones=true", content=rg1, headers=DICOM)
    assert body.status_code == 200, body.text
    return body.json()


def test_the_zones_of_every_finding_add_up_to_its_logit(answer):
    logits = {item["finding"]: item["logit"] for item in answer["explanations"] if item["logit"] is not None}
    assert {ledger["finding"] for ledger in answer["zones"]["findings"]} == set(logits)
    for ledger in answer["zones"]["findings"]:
        assert [zone["zone"] for zone in ledger["zones"]] == list(ZONES)
        total = sum(zone["evidence"] for zone in ledger["zones"])
        assert total == pytest.approx(logits[ledger["finding"]], abs=1e-5)
        assert ledger["sum"] == pytest.approx(total, abs=1e-9)
        assert ledger["difference"] == pytest.approx(0, abs=1e-5)


def test_the_map_of_zones_has_their_areas(answer):
    zones = answer["zones"]
    cells = np.zeros(len(ZONES))
    for index, length in zones["map"]["runs"]:
        cells[index] += length
    assert cells.sum() == zones["map"]["rows"] * zones["map"]["columns"]
    areas = [zone["area_share"] for zone in zones["findings"][0]["zones"]]
    np.testing.assert_allclose(cells / cells.sum(), areas, atol=1e-9)


def test_a_real_radiograph_has_a_heart_of_plausible_size(answer):
    zones, crop = answer["zones"], answer["image"]["crop"]
    assert (zones["trusted"], zones["reasons"]) == (True, [])
    heart = zones["heart_size"]
    assert 0.35 < heart["cardiothoracic_ratio"] < 0.65
    for line in ("heart_right", "heart_left", "thorax"):
        assert (
            crop["column"] <= heart[line]["start_column"] <= heart[line]["end_column"] <= crop["column"] + crop["size"]
        )
        assert crop["row"] <= heart[line]["row"] <= crop["row"] + crop["size"]
    width = sum(heart[line]["end_column"] - heart[line]["start_column"] for line in ("heart_right", "heart_left"))
    thorax = heart["thorax"]["end_column"] - heart["thorax"]["start_column"]
    assert heart["cardiothoracic_ratio"] == pytest.approx(width / thorax)


def test_no_zones_without_a_request(client, rg1):
    assert client.post("/explain?class=Edema", content=rg1, headers=DICOM).json()["zones"] is None


def test_a_picture_without_lungs_has_exact_sums_and_no_trust(client):
    noise = np.random.default_rng(5).integers(0, 4096, (300, 400), dtype=np.uint16)
    body = client.post("/explain?class=Edema&zones=true", content=chest_dicom(noise), headers=DICOM).json()
    zones = body["zones"]
    assert (zones["trusted"], zones["heart_size"]) == (False, None)
    assert zones["reasons"]
    (ledger,) = zones["findings"]
    assert sum(zone["evidence"] for zone in ledger["zones"]) == pytest.approx(ledger["logit"], abs=1e-5)
    assert ledger["warning"] is None
    assert zones["outside_film_share"] == pytest.approx(0.25)


def test_a_png_is_drawn_without_zones(client, rg1):
    answer = client.post("/explain?class=Edema&zones=true&format=png", content=rg1, headers=DICOM)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
