"""The radiograph and its evidence in the browser: gray scale, window, zoom, touch, maps, warnings."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from app.rendering.palettes import colour_index, colour_table
from tests.browser.conftest import box_of, centre, frame, open_radiograph, pixels
from tests.factories import chest_dicom

pytestmark = pytest.mark.integration

VALUES_OF = """async ([path, bytes]) => {
  const {decodeGray16} = await import("/viewer/png.js");
  const {width, height, values} = await decodeGray16(new Uint8Array(bytes).buffer);
  return [width, height, Array.from(values)];
}"""


def gray_png(values: np.ndarray) -> bytes:
    stream = BytesIO()
    Image.fromarray(values).save(stream, format="PNG")
    return stream.getvalue()


def test_the_page_reads_all_grey_levels(page):
    rows, columns = np.mgrid[0:53, 0:71]
    values = (rows * 977 + columns * 331 + (rows * columns) % 7 * 5000).astype(np.uint16)
    width, height, read = page.evaluate(VALUES_OF, ["", list(gray_png(values))])
    assert (height, width) == values.shape
    assert read == values.ravel().tolist()


def test_the_service_gives_more_grey_levels_than_8_bits_hold(client, rg1):
    deep = np.asarray(Image.open(BytesIO(client.post("/film?depth=16", content=rg1).content)))
    flat = np.asarray(Image.open(BytesIO(client.post("/film", content=rg1).content)))
    assert deep.dtype == np.uint16
    assert len(np.unique(deep)) > 1000
    assert np.abs(deep / 257 - flat).max() <= 0.5 + 1e-6
    assert client.post("/film?depth=12", content=rg1).status_code == 422


def test_the_colours_are_those_of_the_services_pictures(page):
    asked = np.linspace(-1.3, 1.3, 53, dtype=np.float32)
    for palette in ("red-blue", "orange-purple"):
        code = "async ([p, v]) => { const m = await import('/viewer/palette.js'); return v.map(x => m.colour(x, p)); }"
        shown = np.array(page.evaluate(code, [palette, asked.tolist()]))
        expected = colour_table(palette)[colour_index(asked, 1.0)]
        assert np.abs(shown - expected.astype(int)).max() <= 1


def test_the_window_is_applied_to_the_full_depth(page):
    """Two neighbours that 8 bits cannot tell apart are black and white through a narrow window."""
    code = """async () => {
      const {Radiograph} = await import("/viewer/radiograph.js");
      const values = new Uint16Array([32700, 32860]);
      const film = new Radiograph({width: 2, height: 1, values}, {rows: 1, columns: 2});
      const canvas = document.createElement("canvas"); canvas.width = 20; canvas.height = 10;
      const context = canvas.getContext("2d"); context.imageSmoothingEnabled = false;
      const at = x => context.getImageData(x, 5, 1, 1).data[0];
      const shown = () => { film.draw(context, 10, 0, 0); return [at(2), at(17)]; };
      const whole = shown(); film.table = null; film.window = {level: 0.5, width: 0.002}; film.prepareTable();
      const narrow = shown(); film.invert(); return [whole, narrow, shown()];
    }"""
    whole, narrow, inverted = page.evaluate(code)
    assert whole[1] - whole[0] <= 1
    assert narrow == [0, 255]
    assert inverted == [255, 0]


@pytest.mark.thorough
def test_dragging_and_presets_change_the_window(opened):
    seen = [pixels(opened)]
    x, y = centre(opened)
    opened.mouse.move(x, y)
    opened.mouse.down(button="right")
    opened.mouse.move(x - 80, y + 40, steps=5)
    opened.mouse.up(button="right")
    expect(opened.locator("#preset")).to_have_value("own")
    assert float(opened.input_value("#width")) < 100
    assert float(opened.input_value("#level")) < 50
    seen.append(pixels(opened))
    for preset in ("lungs", "bones", "auto"):
        opened.select_option("#preset", preset)
        seen.append(pixels(opened))
    opened.locator("#level").fill("30")
    seen.append(pixels(opened))
    assert len(set(seen)) == len(seen)
    opened.select_option("#preset", "file")
    assert pixels(opened) == seen[0]
    opened.click("#invert")
    assert pixels(opened) != seen[0]
    expect(opened.locator("#exact")).to_contain_text("0 of 64 patches removed")


@pytest.mark.thorough
def test_zoom_pan_fit_and_full_screen(opened):
    seen = [pixels(opened)]
    opened.mouse.move(*centre(opened))
    opened.mouse.wheel(0, -600)
    seen.append(pixels(opened))
    x, y = centre(opened)
    opened.keyboard.down("Shift")
    opened.mouse.down()
    opened.mouse.move(x + 60, y + 30, steps=4)
    opened.mouse.up()
    opened.keyboard.up("Shift")
    seen.append(pixels(opened))
    assert len(set(seen)) == 3
    opened.click("#fit")
    assert pixels(opened) == seen[0]
    opened.click("#fullscreen")
    expect(opened.locator("#viewports:fullscreen")).to_be_visible()


def test_evidence_changes_with_scale_palette_range_and_opacity(opened, client):
    def picture():
        opened.wait_for_timeout(120)
        return frame(opened).screenshot()

    seen = [picture()]
    opened.check("#scaled")
    expect(opened.locator("#layer-line")).to_contain_text("Weighted")
    seen.append(picture())
    opened.select_option("#palette", "orange-purple")
    seen.append(picture())
    opened.select_option("#range", "1")
    seen.append(picture())
    limit = client.get("/model").json()["manifest"]["display_limit"]
    expect(opened.locator("#high")).to_contain_text(f"+{limit:.1f}")
    opened.locator("#opacity").fill("0")
    seen.append(picture())
    assert len(set(seen)) == len(seen)


def test_neutral_patches_are_transparent(page):
    code = """async () => { const {opacityOf} = await import("/viewer/palette.js");
      return [-2, -1, -0.25, 0, 0.25, 1, 3].map(opacityOf); }"""
    assert page.evaluate(code) == [1, 1, 0.5, 0, 0.5, 1, 1]


def test_a_smooth_map_comes_coarse_first(opened):
    asked = []
    opened.on("request", lambda request: asked.append(request.url) if "stride" in request.url else None)
    exact = frame(opened).screenshot()
    opened.select_option("#layer", "smooth")
    expect(opened.locator(".progress").first).to_contain_text("refining, 1 of 3")
    expect(opened.locator(".progress").first).to_contain_text("refining, 2 of 3")
    opened.wait_for_timeout(120)
    smooth = frame(opened).screenshot()
    expect(opened.locator("#layer-line")).to_contain_text("decision uses the exact grid")
    opened.select_option("#layer", "grid")
    opened.wait_for_timeout(120)
    assert smooth != exact
    assert ["stride=31" in url for url in asked][:2] == [True, False]


def test_maps_come_in_cells_that_are_means(client, rg1):
    query = {"class": "Lung Lesion", "offset": 32}
    fine = client.post("/explain", params=query, content=rg1).json()["explanations"][0]["saliency_map"]
    coarse = client.post("/explain", params=query | {"cell": 128}, content=rg1).json()["explanations"][0][
        "saliency_map"
    ]
    assert (fine["cell_size"], coarse["cell_size"], coarse["rows"]) == (32, 128, 4)
    means = np.array(fine["values"]).reshape(4, 4, 4, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(coarse["values"], means, atol=2e-3)  # two runs of the engine
    assert client.post("/explain", params=query | {"cell": 7}, content=rg1).status_code == 422


@pytest.mark.thorough
def test_fingers_tap_pinch_and_move(new_page, rg1):
    page = new_page(has_touch=True, viewport={"width": 820, "height": 1180})
    open_radiograph(page, rg1)
    page.tap("#tool-patches")
    x, y = centre(page)
    page.touchscreen.tap(x, y)
    expect(page.locator("#exact")).to_contain_text("1 of 64 patches removed")
    before = pixels(page)
    fingers = page.context.new_cdp_session(page)

    def touch(kind, *places):
        points = [{"x": px, "y": py, "id": index} for index, (px, py) in enumerate(places)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (x - 40, y))
    touch("touchStart", (x - 40, y), (x + 40, y))
    for step in range(1, 6):
        touch("touchMove", (x - 40 - 15 * step, y + 8 * step), (x + 40 + 15 * step, y + 8 * step))
    touch("touchEnd")
    assert pixels(page) != before
    expect(page.locator("#exact")).to_contain_text("1 of 64 patches removed")


@pytest.mark.thorough
@pytest.mark.parametrize("size", [(1280, 800), (3840, 2160), (820, 1180), (1180, 820)])
def test_the_page_fits_the_screen(new_page, rg1, size):
    page = new_page(viewport={"width": size[0], "height": size[1]})
    open_radiograph(page, rg1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    _, _, width, height = box_of(page)
    assert min(width, height) > 0.35 * min(size)


@pytest.mark.thorough
def test_a_lateral_view_and_an_image_of_no_chest_are_warned_about(page):
    open_radiograph(page, chest_dicom(ViewPosition="LL"))
    expect(page.locator("#warnings")).to_contain_text("Lateral view")
    expect(page.locator("#warnings")).to_contain_text("Not recognised as an upright frontal")
    page.click("#language")
    expect(page.locator("#warnings")).to_contain_text("Seitliche Aufnahme")


@pytest.mark.thorough
def test_a_large_radiograph_is_shown_and_zoomed(page):
    values = np.add.outer(np.arange(3000), np.arange(3000)).astype(np.uint16)
    values[::300] = 0
    open_radiograph(page, gray_png(values), "large.png")
    page.mouse.move(*centre(page))
    before = pixels(page)
    page.mouse.wheel(0, -900)
    assert pixels(page) != before
    expect(page.locator("#save-sr")).to_be_disabled()
