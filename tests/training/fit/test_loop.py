import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.nn import functional

from app.errors import ConfigurationError
from app.patchnet import artifact, backbones
from app.patchnet.findings import FINDING_NAMES
from app.patchnet.model import PatchNet
from training import commands
from training.data.datasets import FilmDataset, read_films
from training.fit.distributed import World
from training.fit.head import fit_head, mean_features
from training.fit.loop import train
from training.fit.sampling import epoch_batches, steps_per_epoch
from training.fit.state import exponential_average, resume, start
from training.fit.step import asymmetric_loss, masked_loss
from training.fit.weight_interpolation import blend
from training.measure.inference import mean_auroc, predict_logits


@pytest.fixture
def data(small_data, recipe):
    return FilmDataset(read_films(small_data / "train.csv"), recipe.image_size, keep_in_memory=True)


@pytest.fixture
def valid(small_data, recipe):
    return FilmDataset(read_films(small_data / "valid.csv"), recipe.image_size, keep_in_memory=True)


def fresh_network(recipe):
    torch.manual_seed(recipe.seed)
    return PatchNet(backbones.build_pretrained(recipe.backbone, 14), recipe.image_size, recipe.patch_size)


def weights_after(recipe, data, valid, folder, network=None):
    folder.mkdir(exist_ok=True)
    state = start(network or fresh_network(recipe), recipe, recipe.epochs * steps_per_epoch(recipe, [data]))
    train(state, recipe, [data], valid, folder, World())
    return state.network.state_dict()


def assert_same(left, right):
    assert left.keys() == right.keys()
    assert all(torch.equal(left[key], right[key]) for key in left)


def test_one_seed_gives_the_same_weights(recipe, data, valid, tmp_path):
    recipe = recipe.model_copy(update={"epochs": 1})
    first = weights_after(recipe, data, valid, tmp_path / "a")
    assert_same(first, weights_after(recipe, data, valid, tmp_path / "b"))
    other = weights_after(recipe.model_copy(update={"seed": 1}), data, valid, tmp_path / "c", fresh_network(recipe))
    assert not torch.equal(first["backbone.conv_stem.weight"], other["backbone.conv_stem.weight"])


class Killed(Exception):
    pass


@pytest.mark.parametrize(("checkpoint_steps", "resumed_at"), [(250, 5), (3, 6)])
def test_a_killed_and_resumed_run_equals_the_uninterrupted_one(
    recipe, data, valid, tmp_path, monkeypatch, checkpoint_steps, resumed_at
):
    recipe = recipe.model_copy(update={"checkpoint_steps": checkpoint_steps})
    whole = weights_after(recipe, data, valid, tmp_path / "whole")
    steps, step_of = 0, torch.optim.AdamW.step

    def step_or_die(self, *arguments, **options):
        nonlocal steps
        steps += 1
        if steps == 8:  # in the middle of the second epoch
            raise Killed
        return step_of(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", step_or_die)
        with pytest.raises(Killed):
            weights_after(recipe, data, valid, tmp_path / "parts")
    state = start(fresh_network(recipe), recipe, recipe.epochs * steps_per_epoch(recipe, [data]))
    resume(state, tmp_path / "parts/last.pt")
    assert state.step == resumed_at
    train(state, recipe, [data], valid, tmp_path / "parts", World())
    assert_same(whole, state.network.state_dict())


def test_small_batches_at_a_time_give_the_same_step(recipe, data, valid, tmp_path):
    one = recipe.model_copy(update={"epochs": 1})
    whole = weights_after(one, data, valid, tmp_path / "whole")
    parts = weights_after(one.model_copy(update={"micro_batch_images": 1}), data, valid, tmp_path / "parts")
    for key, value in whole.items():
        torch.testing.assert_close(parts[key], value, atol=2e-4, rtol=1e-3)


def test_an_epoch_draws_the_asked_for_share_of_each_set(recipe, data, valid):
    mixed = recipe.model_copy(update={"data": recipe.data.model_copy(update={"weights": [1.0, 0.5]})})
    batches = list(epoch_batches(mixed, [data, valid], epoch=0))
    assert len(batches) == steps_per_epoch(mixed, [data, valid]) == 6
    drawn = [film for batch in batches for film in batch]
    assert len(drawn) == len(set(drawn)) == 24
    assert batches != list(epoch_batches(mixed, [data, valid], epoch=1))
    assert batches == list(epoch_batches(mixed, [data, valid], epoch=0))


def test_unknown_labels_do_not_count():
    logits = torch.randn(4, 3)
    labels = torch.tensor([[1.0, 0, float("nan")], [float("nan")] * 3, [0, 0, 1], [1, float("nan"), 0]])
    known = ~labels.isnan()
    expected = functional.binary_cross_entropy_with_logits(logits[known], labels[known], reduction="sum")
    torch.testing.assert_close(masked_loss(logits, labels), expected)


def test_the_asymmetric_loss_ignores_easy_negatives_and_unknown_labels():
    logits, labels = torch.tensor([[-6.0, 2.0, 0.0]]), torch.tensor([[0.0, 1.0, float("nan")]])
    torch.testing.assert_close(asymmetric_loss(logits, labels), -torch.tensor(2.0).sigmoid().log())
    hard = asymmetric_loss(torch.tensor([[3.0]]), torch.tensor([[0.0]]))
    assert 0 < hard < masked_loss(torch.tensor([[3.0]]), torch.tensor([[0.0]]))


def test_the_head_on_frozen_features_separates_the_made_films(recipe, data, valid):
    network = fresh_network(recipe)
    features, labels = mean_features(network, recipe.backbone, data, 4)
    assert features.shape == (20, 1280)
    fit_head(network, recipe.backbone, data, penalty=0.001)
    assert mean_auroc(network, valid, 4, "cpu") > 0.9
    head = backbones.head_of(recipe.backbone, network.backbone)
    by_features = functional.linear(features, head.weight, head.bias).detach().double().numpy()
    np.testing.assert_allclose(predict_logits(network, data, 4, "cpu"), by_features, atol=1e-4)
    assert labels.shape == (20, 14)


def test_a_blend_lies_between_its_ends(recipe):
    first, last = fresh_network(recipe), fresh_network(recipe.model_copy(update={"seed": 1}))
    head = [backbones.head_of(recipe.backbone, network.backbone).weight for network in (first, last)]
    quarter = backbones.head_of(recipe.backbone, blend(first, last, 0.25).backbone).weight
    torch.testing.assert_close(quarter, 0.75 * head[0] + 0.25 * head[1])
    assert_same(blend(first, last, 1.0).state_dict(), last.state_dict())


def test_the_commands_train_publish_evaluate_and_import(small_data, recipe, tmp_path):
    config = tmp_path / "recipe.yaml"
    config.write_text(recipe.model_copy(update={"epochs": 1, "blend_shares": [0.0, 0.5]}).model_dump_json())
    commands.train(config, small_data, tmp_path / "work", "cpu")
    commands.train(config, small_data, tmp_path / "work", "cpu")  # finished: nothing to do
    commands.publish(config, small_data, tmp_path / "work", tmp_path / "small", "1", "cpu")
    figures = commands.evaluate(str(tmp_path / "small"), small_data / "test.csv", None, 50, "cpu").as_json()
    assert 0 <= figures["auroc"]["mean"] <= 1
    assert figures["auroc"]["mean"] == pytest.approx(
        artifact.read_manifest(tmp_path / "small").metrics["test.auroc.mean"]
    )
    manifest = artifact.read_manifest(tmp_path / "small")
    everything = read_films(small_data / "test.csv", "ones")
    measured = commands.without_untrained(everything, manifest).labels
    assert measured[:, FINDING_NAMES.index("Fracture")].isnan().all()
    assert int(measured.isnan().sum()) == len(everything)
    backbone = backbones.build("efficientnet_v2_s", 14)
    state = {f"_orig_mod.baseBackbone.{key}": value for key, value in backbone.state_dict().items()}
    torch.save(state, tmp_path / "authors.pt")
    commands.import_checkpoint(tmp_path / "authors.pt", tmp_path / "imported", "efficientnet_v2_s", 64)
    imported = artifact.load(tmp_path / "imported")
    assert {record.status for record in imported.manifest.findings} == {"imported"}


def test_the_loop_logs_loss_learning_rates_and_gradient_norm_of_every_step(recipe, data, valid, tmp_path):
    weights_after(recipe.model_copy(update={"epochs": 1, "head_rate_factor": 3.0}), data, valid, tmp_path)
    events = EventAccumulator(str(tmp_path / "logs"))
    events.Reload()
    logged = {
        name: [event.value for event in events.Scalars(name)]
        for name in ("loss/train", "gradient_norm/train", "learning_rate/body", "learning_rate/head")
    }
    assert {len(values) for values in logged.values()} == {5}
    assert min(logged["gradient_norm/train"]) > 0
    assert logged["learning_rate/head"] == pytest.approx([3 * rate for rate in logged["learning_rate/body"]], rel=1e-4)


def test_a_checkpoint_of_another_version_is_refused_with_a_way_out(recipe, tmp_path):
    torch.save({"network": {}, "step": 3}, tmp_path / "last.pt")
    with pytest.raises(ConfigurationError, match="empty --work"):
        resume(start(fresh_network(recipe), recipe, 5), tmp_path / "last.pt")


def test_the_average_moves_towards_the_weights_and_its_buffers_too(recipe):
    network = fresh_network(recipe)
    average = exponential_average(network, decay=0.9)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        for value in network.state_dict().values():
            value.add_(1)
    average.update_parameters(network)
    after = average.module.state_dict()
    for name in ("backbone.conv_stem.weight", "backbone.bn1.running_mean"):
        torch.testing.assert_close(after[name], before[name] + 9 / 11)  # decay min(0.9, 2 / 11) at the first step
    assert after["backbone.bn1.num_batches_tracked"] == before["backbone.bn1.num_batches_tracked"] + 1


def test_a_run_without_weights_is_named(small_data, recipe, tmp_path):
    (tmp_path / "recipe.yaml").write_text(recipe.model_dump_json())
    with pytest.raises(ConfigurationError, match=r"best\.pt does not exist"):
        commands.publish(tmp_path / "recipe.yaml", small_data, tmp_path, tmp_path / "out", "1", "cpu")
    (tmp_path / "best.pt").write_bytes(b"damaged")
    with pytest.raises(ConfigurationError, match="does not hold the weights"):
        commands.publish(tmp_path / "recipe.yaml", small_data, tmp_path, tmp_path / "out", "1", "cpu")
