"""The table of zones: its numbers are those of the service, and pointing at a zone lights it."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.integration, pytest.mark.thorough]

LIT_PIXELS = """() => { const canvas = document.querySelectorAll(".frame canvas")[1]; const { width, height } = canvas;
  const data = canvas.getContext("2d").getImageData(0, 0, width, height).data; let sum = 0;
  for (let at = 0; at < data.length; at += 4) sum += data[at + 2] * data[at + 3]; return sum; }"""


def test_zones_are_requested_when_their_table_is_opened(opened, client, rg1):
    assert not any("zones" in url for url in opened.requests if "explain" in url)
    opened.click("#zones summary")
    rows = opened.locator("#zones-rows tr")
    expect(rows).to_have_count(10)
    answer = client.post("/explain?class=all&zones=true", content=rg1, headers={"Content-Type": "application/dicom"})
    zones = answer.json()["zones"]
    shown = opened.locator("#selected #headline").text_content().partition(":")[0]
    (ledger,) = [item for item in zones["findings"] if item["finding"] == shown]
    assert [float(text) for text in rows.locator("td:nth-child(3)").all_text_contents()] == pytest.approx(
        [zone["evidence"] for zone in ledger["zones"]], abs=6e-4
    )
    assert float(opened.locator("#zones-sum").text_content()) == pytest.approx(ledger["logit"], abs=6e-4)
    if zones["heart_size"]:
        expect(opened.locator("#zones-heart")).to_contain_text(f"{zones['heart_size']['cardiothoracic_ratio']:.2f}")


def test_pointing_at_a_zone_lights_it(opened):
    opened.click("#zones summary")
    body = opened.locator('#zones-rows tr[data-zone="body"]')
    expect(body).to_be_visible()
    opened.locator("#zones summary").hover()
    opened.wait_for_timeout(200)
    before = opened.evaluate(LIT_PIXELS)
    body.hover()
    opened.wait_for_timeout(200)
    assert opened.evaluate(LIT_PIXELS) > 1.1 * before
