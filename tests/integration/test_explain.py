import io

import numpy as np
import pytest
from PIL import Image

from app.patchnet.findings import FINDING_NAMES

pytestmark = pytest.mark.integration

DICOM = {"Content-Type": "application/dicom"}


def explain(client, image, **query):
    answer = client.post("/explain", params=query, content=image, headers=DICOM)
    assert answer.status_code == 200, answer.text
    return answer


def test_the_plain_grid_is_exact(client, rg1):
    body = explain(client, rg1, **{"class": "Pleural Effusion"}).json()
    (item,) = body["explanations"]
    assert item["finding"] == "Pleural Effusion"
    assert (item["map"], item["offset"], item["exact"], item["saliency_map"]) == ("raw", 64, True, None)
    grid = np.array(item["grid"]["patch_logits"])
    assert grid.shape == (item["grid"]["rows"], item["grid"]["columns"]) == (8, 8)
    assert grid.mean() == pytest.approx(item["logit"], abs=1e-5)
    assert item["additivity"]["difference"] == pytest.approx(0, abs=1e-5)
    assert item["additivity"]["grid_mean"] == pytest.approx(grid.mean(), abs=1e-5)
    assert item["evidence"]["sum_for"] + item["evidence"]["sum_against"] == pytest.approx(grid.sum(), abs=1e-3)
    assert item["geometry"] == {"row": 57, "column": 0, "height": 1841, "width": 1841, "patch_size": 1841 / 8}


def test_explain_and_predict_agree(client, rg1):
    predicted = client.post("/predict?grids=true", content=rg1, headers=DICOM).json()
    explained = explain(client, rg1, **{"class": "all"}).json()["explanations"]
    assert [item["finding"] for item in explained] == list(FINDING_NAMES)
    for item, finding, grid in zip(explained, predicted["findings"], predicted["grids"], strict=True):
        assert item["logit"] == finding["logit"]
        assert (item["grid"] or {}).get("patch_logits") == grid["patch_logits"]


def test_scaled_is_raw_times_the_probability(client, rg1):
    query = {"class": "Lung Opacity"}
    raw = explain(client, rg1, **query).json()["explanations"][0]
    scaled = explain(client, rg1, **query, map="scaled").json()["explanations"][0]
    expected = np.array(raw["grid"]["patch_logits"]) * raw["probability"]
    np.testing.assert_allclose(scaled["grid"]["patch_logits"], expected, atol=1e-5)
    assert scaled["exact"] is False
    assert scaled["additivity"] == raw["additivity"]


@pytest.mark.parametrize(("offset", "cells"), [(32, 16), (16, 32), (27, 512)])
def test_a_smaller_offset_gives_a_finer_map(client, rg1, offset, cells):
    item = explain(client, rg1, **{"class": "Lung Lesion"}, offset=offset).json()["explanations"][0]
    assert (item["offset"], item["exact"]) == (offset, False)
    values = np.array(item["saliency_map"]["values"])
    assert values.shape == (cells, cells)
    assert item["saliency_map"]["cell_size"] * cells == 512
    grid = np.array(item["grid"]["patch_logits"]).repeat(cells // 8, 0).repeat(cells // 8, 1)
    assert np.corrcoef(values.ravel(), grid.ravel())[0, 1] > 0.5


def test_the_authors_border_is_smaller_at_the_edge(client, rg1):
    query = {"class": "Edema", "offset": 32}
    covered = explain(client, rg1, **query).json()["explanations"][0]["saliency_map"]["values"]
    diluted = explain(client, rg1, **query, border="zero").json()["explanations"][0]["saliency_map"]["values"]
    np.testing.assert_allclose(np.array(diluted)[4:-4, 4:-4], np.array(covered)[4:-4, 4:-4], atol=1e-5)
    assert abs(diluted[-1][-1]) == pytest.approx(abs(covered[-1][-1]) / 4, rel=1e-3)


def test_several_findings_in_any_case_keep_their_order(client, rg1):
    body = explain(client, rg1, **{"class": ["EDEMA", "airspace opacity"]}).json()
    assert [item["finding"] for item in body["explanations"]] == ["Edema", "Lung Opacity"]


def test_an_untrained_finding_has_no_evidence(client, rg1):
    item = explain(client, rg1, **{"class": "Fracture"}).json()["explanations"][0]
    assert item["status"] == "untrained"
    assert (item["probability"], item["grid"], item["additivity"]) == (None, None, None)
    answer = client.post("/explain?class=Fracture&format=png", content=rg1, headers=DICOM)
    assert answer.status_code == 422
    assert answer.json()["type"].endswith("untrained_finding")


@pytest.mark.parametrize("ask", [{"params": {"format": "png"}}, {"headers": {"Accept": "image/png"}}])
def test_the_overlay_is_a_png_in_the_films_geometry(client, rg1, ask):
    params = {"class": "Lung Lesion", "legend": False, **ask.get("params", {})}
    answer = client.post("/explain", params=params, content=rg1, headers={**DICOM, **ask.get("headers", {})})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).size == (1841, 1955)


def test_the_overlay_is_red_where_the_evidence_is_for(client, rg1):
    item = explain(client, rg1, **{"class": "Lung Lesion"}).json()["explanations"][0]
    grid = np.array(item["grid"]["patch_logits"])
    picture = explain(client, rg1, **{"class": "Lung Lesion"}, format="png", opacity=1.0, size=1955)
    pixels = np.asarray(Image.open(io.BytesIO(picture.content)).convert("RGB")).astype(float)
    patch = item["geometry"]["patch_size"]
    redness = [
        [pixels[int(57 + (r + 0.5) * patch), int((c + 0.5) * patch), [0, 2]] @ [1, -1] for c in range(8)]
        for r in range(8)
    ]
    assert np.corrcoef(np.ravel(redness), np.clip(grid, -5, 5).ravel())[0, 1] > 0.9


def test_the_size_of_the_overlay_can_be_chosen(client, rg1):
    picture = explain(client, rg1, **{"class": "Edema"}, format="png", size=400, legend=False)
    assert max(Image.open(io.BytesIO(picture.content)).size) == 400


def test_the_overlay_has_a_caption_below_unless_it_is_plain(client, rg1):
    plain, captioned = (
        Image.open(io.BytesIO(explain(client, rg1, **query).content))
        for query in ({"class": "Edema", "format": "png", "legend": False}, {"class": "Edema", "format": "png"})
    )
    assert captioned.width == plain.width
    assert captioned.height > plain.height
    assert captioned.crop((0, 0, *plain.size)).tobytes() == plain.tobytes()


def test_sufficient_and_flip_sets_hold(client, rg1):
    for item in explain(client, rg1, **{"class": "all"}).json()["explanations"]:
        for sets in item["decisive_patches"]:
            if sets["flip"] is None:
                continue
            question = {"grids": [{"finding": item["finding"], "patch_logits": item["grid"]["patch_logits"]}]}
            answer = client.post("/whatif", json={**question, "remove": sets["flip"], "rule": sets["rule"]}).json()
            (finding,) = answer["findings"]
            assert finding["before"]["probability"] == pytest.approx(item["probability"], abs=1e-6)
            passes = [finding[when]["probability"] >= item["threshold"] for when in ("before", "after")]
            assert passes[0] != passes[1]


def test_removing_patches_is_exact(client, rg1):
    body = client.post("/predict?grids=true", content=rg1, headers=DICOM).json()
    removed = [[0, 0], [3, 5], [7, 7]]
    by_id = client.post("/whatif", json={"request_id": body["request_id"], "remove": removed}).json()
    by_grids = client.post("/whatif", json={"grids": body["grids"], "remove": removed}).json()
    assert len(by_id["findings"]) == 14
    for finding, grid in zip(by_id["findings"], body["grids"], strict=True):
        if grid["patch_logits"] is None:
            assert finding["after"]["probability"] is None
            continue
        kept = np.ones((8, 8), bool)
        kept[tuple(np.transpose(removed))] = False
        expected = np.array(grid["patch_logits"])[kept].mean()
        assert finding["after"]["logit"] == pytest.approx(expected, abs=1e-6)
        assert finding["after"]["probability"] == pytest.approx(1 / (1 + np.exp(-expected)), abs=1e-6)
    answered = {finding["name"]: finding["after"]["logit"] for finding in by_grids["findings"]}
    for finding in by_id["findings"]:
        if finding["after"]["logit"] is not None:
            assert answered[finding["name"]] == pytest.approx(finding["after"]["logit"], abs=1e-6)


def test_removing_nothing_changes_nothing(client, rg1):
    body = explain(client, rg1, **{"class": "Edema"}).json()
    answer = client.post("/whatif", json={"request_id": body["request_id"], "remove": [], "rule": "neutral"}).json()
    assert all(finding["before"] == finding["after"] for finding in answer["findings"])


def test_a_stride_gives_nearly_the_map_of_offset_one(client, rg1):
    """Against a finer stride, since offset 1 itself takes minutes."""
    query = {"class": "Cardiomegaly"}
    coarse = explain(client, rg1, **query, stride=21).json()["explanations"][0]
    fine = explain(client, rg1, **query, stride=13).json()["explanations"][0]
    assert (coarse["offset"], coarse["stride"], coarse["exact"]) == (1, 21, False)
    maps = [np.array(item["saliency_map"]["values"]) for item in (coarse, fine)]
    assert maps[0].shape == (512, 512)
    assert np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1] > 0.9


@pytest.mark.parametrize("query", ["stride=4", "stride=65", "stride=5&offset=8", "stride=1"])
def test_a_stride_that_cannot_be_had_is_refused(client, rg1, query):
    answer = client.post(f"/explain?class=Edema&{query}", content=rg1, headers=DICOM)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:medpatchnet:problem:invalid_query")
