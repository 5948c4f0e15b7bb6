import pytest

from app.errors import UnknownFinding
from app.patchnet.findings import FINDING_NAMES, FINDINGS, finding_index, finding_indices


def test_the_order_is_chexperts():
    assert FINDING_NAMES == (
        "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema",
        "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture",
        "Support Devices",
    )  # fmt: skip


def test_codes_are_unique():
    assert len({(finding.code.scheme, finding.code.value) for finding in FINDINGS}) == len(FINDINGS)


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("pleural effusion", 10), ("EFFUSION", 10), ("Airspace Opacity", 3), (" lung  lesion ", 4),
        ("pleural_effusion", 10), ("PleuralEffusion", 10), ("pleural-effusion", 10), ("NO_FINDING", 0),
    ],
)  # fmt: skip
def test_names_and_aliases_are_found_however_they_are_spelled(name, index):
    assert finding_index(name) == index


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UnknownFinding, match="Pleural Effusion"):
        finding_index("Scoliosis")


def test_several_names_keep_their_order_without_repeats():
    assert finding_indices(["Edema", "Cardiomegaly", "edema"]) == [5, 2]


def test_all_stands_for_every_finding():
    assert finding_indices(["all"]) == list(range(14))
    assert finding_indices(["Edema", "ALL"])[0] == 5
