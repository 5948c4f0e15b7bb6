"""What the shortcuts of the service change, on small networks and made films."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from app.patchnet.artifact import CARD, amend, load, read_manifest
from app.patchnet.findings import FINDING_NAMES
from app.patchnet.grid import Lattice
from app.patchnet.model import PatchNet
from app.patchnet.saliency import shift_averaged_map
from tests.artifacts import save_small_artifact
from tests.factories import film_8bit, jpeg_file
from training import commands
from training.data.datasets import FilmDataset, Films
from training.measure import served_precision as serving
from training.publish.serving_section import with_serving


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return load(save_small_artifact(tmp_path_factory.mktemp("models"), "small"))


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    paths = []
    for index in range(6):
        paths.append(folder / f"{index}.jpg")
        paths[-1].write_bytes(jpeg_file(film_8bit(160 + 8 * index, 160)))
    return Films(tuple(paths), torch.tensor([[float(index % 2)] * 14 for index in range(6)]), {})


def test_a_stride_of_one_is_the_map_itself_and_a_larger_one_is_close():
    whole = Lattice.regular(32, 8, 1)
    origins = whole.origins.float()
    field = torch.stack((origins[:, 0] * 0.1, (origins[:, 1] / 7).sin()), dim=1)
    truth = shift_averaged_map(field, whole)
    torch.testing.assert_close(serving.drawn_with(field, whole, 1), truth)
    torch.testing.assert_close(serving.drawn_with(field, whole, 3), truth, atol=0.05, rtol=0)


def test_strides_are_measured_on_every_served_map_and_fields_are_kept(small, films, tmp_path, monkeypatch):
    class Mean(nn.Module):
        def forward(self, patches):
            return patches.mean(dim=(1, 2, 3))[:, None] * torch.arange(1, 15)

    manifest = small.manifest.model_copy(update={"image_size": 16, "patch_size": 4})
    network = PatchNet(Mean(), 16, 4)
    monkeypatch.setattr(serving, "STRIDES", (1, 3))
    records = serving.strides(network, manifest, films.paths[:2], "valid", "cpu", tmp_path / "work")
    assert [(record.stride, record.films, record.maps) for record in records] == [(1, 2, 28), (3, 2, 28)]
    assert records[0].least_correlation == pytest.approx(1)
    assert records[0].fewer_passes == 1
    assert 0.5 < records[1].least_correlation <= records[1].low_correlation <= records[1].median_correlation < 1
    kept = sorted((tmp_path / "work").iterdir())
    assert len(kept) == 2
    torch.save(torch.load(kept[0]) * 0 + torch.arange(256)[:, None] % 7, kept[0])
    assert serving.strides(network, manifest, films.paths[:2], "valid", "cpu", tmp_path / "work") != records


def test_a_window_of_a_map_is_that_part_of_the_whole_map():
    whole = Lattice.regular(32, 8, 1)
    field = torch.rand(whole.patches, 3, generator=torch.Generator().manual_seed(0))
    part = serving.windowed(whole, 12)
    kept = torch.tensor([whole.starts.index(start) for start in part.starts])
    cut = field.reshape(whole.per_axis, whole.per_axis, 3)[kept][:, kept].reshape(part.patches, 3)
    expected = shift_averaged_map(field, whole)[:, 10:22, 10:22]
    torch.testing.assert_close(shift_averaged_map(cut, part)[:, 10:22, 10:22], expected)
    assert part.patches < whole.patches / 2


def test_a_precision_is_allowed_only_where_it_changes_little(small, films, monkeypatch):
    data = FilmDataset(films, small.manifest.image_size)
    torch.manual_seed(0)
    network = PatchNet(nn.Sequential(nn.Conv2d(1, 3, 16, 16), nn.ReLU(), nn.Flatten(), nn.Linear(48, 14)), 128, 64)
    bfloat16, float16 = serving.precisions(network, small.manifest, data, "valid", "cpu")
    assert (bfloat16.precision, float16.precision, bfloat16.films) == ("bfloat16", "float16", 6)
    assert 0 < float16.largest_probability_change < bfloat16.largest_probability_change
    assert float16.allowed
    monkeypatch.setattr(serving, "MOST_PROBABILITY_CHANGE", float16.largest_probability_change / 2)
    assert not any(record.allowed for record in serving.precisions(network, small.manifest, data, "valid", "cpu"))


def test_the_figures_reach_manifest_and_card_and_replace_older_ones(small, films, tmp_path):
    directory = save_small_artifact(tmp_path, "copy")
    data = FilmDataset(films, small.manifest.image_size)
    stride = serving.StrideRecord(
        stride=5, fewer_passes=24.0, dataset="valid", films=2, maps=28, window=512,
        median_correlation=0.9991, low_correlation=0.99, least_correlation=0.98,
    )  # fmt: skip
    manifest = read_manifest(directory).model_copy(
        update={
            "strides": (stride,),
            "precisions": serving.precisions(small.network, small.manifest, data, "valid", "cpu"),
        }
    )
    card = (directory / CARD).read_text()
    once = with_serving(card, manifest)
    assert once.startswith(card.rstrip())
    assert "| 5 | 24 × | 0.9991 | 0.9900 | 0.9800 |" in once
    assert with_serving(once + "\n## Next\n", manifest) == once + "\n## Next\n"
    amend(directory, manifest, once)
    assert load(directory).manifest == manifest
    with pytest.raises(Exception, match="other weights"):
        amend(directory, replace(small, manifest=manifest.model_copy(update={"weights_sha256": "0" * 64})).manifest, "")


def test_arithmetic_is_measured_again_without_the_maps(films, tmp_path, monkeypatch):
    directory = save_small_artifact(tmp_path, "measured", backbone="efficientnet_lite0", patch_size=32)
    lines = ["Path," + ",".join(FINDING_NAMES)]
    lines += [f"{path},{','.join(['1.0' if index % 2 else '0.0'] * 14)}" for index, path in enumerate(films.paths)]
    csv_file = tmp_path / "valid.csv"
    csv_file.write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(serving, "STRIDES", (13,))
    commands.serving(str(directory), csv_file, 1, 16, tmp_path / "work", "cpu")
    first = read_manifest(directory)
    amend(directory, first.model_copy(update={"precisions": ()}))
    again = commands.serving(str(directory), csv_file, 0, None, tmp_path / "none", "cpu")
    assert again == first == read_manifest(directory)
    assert [record.stride for record in again.strides] == [13]
    assert not (tmp_path / "none").exists()
    assert "| 13 |" in (directory / CARD).read_text()
