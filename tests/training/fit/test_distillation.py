"""Labels softened by teachers."""

import pytest
import torch
import yaml

from app.patchnet.findings import finding_index
from training.commands import read_experiment
from training.data.datasets import read_films
from training.fit.distillation import Teacher, soften
from training.fit.experiment import initial_network, run, trained_network
from training.recipe import Distillation


@pytest.fixture
def films(small_data):
    return read_films(small_data / "train.csv").where(range(6))


class Opinion(torch.nn.Module):
    """A network with the same logit for every film and finding."""

    def __init__(self, logit):
        super().__init__()
        self.logit = logit

    def forward(self, images):
        return torch.full((len(images), 14), self.logit)


def test_known_labels_move_to_the_teachers_mean_probability(films):
    teachers = [Teacher(Opinion(logit), 16) for logit in (0.0, 100.0)]  # probabilities 0.5 and 1
    softened = soften(films, teachers, 0.2, "cpu").labels
    known = ~films.labels.isnan()
    torch.testing.assert_close(softened[known], 0.8 * films.labels[known] + 0.2 * 0.75)


def test_unknown_labels_stay_unknown(films):
    assert films.labels.isnan().any()
    softened = soften(films, [Teacher(Opinion(0.0), 16)], 1.0, "cpu").labels
    assert torch.equal(softened.isnan(), films.labels.isnan())


def test_findings_left_out_keep_their_labels(films):
    softened = soften(films, [Teacher(Opinion(0.0), 16)], 1.0, "cpu", ["Support Devices"]).labels
    kept = finding_index("Support Devices")
    torch.testing.assert_close(softened[:, kept], films.labels[:, kept], equal_nan=True)
    others = torch.arange(14) != kept
    assert (softened[:, others][~films.labels[:, others].isnan()] == 0.5).all()


def test_a_share_of_nothing_changes_nothing(films):
    softened = soften(films, [Teacher(Opinion(3.0), 16)], 0.0, "cpu").labels
    torch.testing.assert_close(softened, films.labels, equal_nan=True)


def test_teachers_are_trained_first_and_once(small_data, recipe, tmp_path):
    def write(name, changed):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(changed.model_dump(mode="json")))

    image_level = recipe.model_copy(update={"name": "teacher", "image_size": 64, "patch_size": 64, "epochs": 1})
    write("teacher", image_level)
    taught = Distillation(teachers=["teacher.yaml"], share=0.5)
    write("student", recipe.model_copy(update={"name": "student", "epochs": 1, "distillation": taught}))
    experiment = read_experiment(tmp_path / "student.yaml", small_data, tmp_path / "work", "cpu")
    run(experiment)
    best = tmp_path / "work" / "teacher" / "best.pt"
    written = best.stat().st_mtime_ns
    (tmp_path / "work" / "last.pt").unlink()
    run(experiment)
    assert best.stat().st_mtime_ns == written
    teacher = experiment.teachers[0]
    assert trained_network(teacher).patch_size == 64
    assert not torch.equal(
        trained_network(teacher).backbone.state_dict()["classifier.weight"],
        initial_network(image_level).backbone.state_dict()["classifier.weight"],
    )
