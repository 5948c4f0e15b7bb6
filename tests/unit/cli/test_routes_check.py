"""`medpatchnet routes check`: the decision about a real film, explained."""

import pytest
from typer.testing import CliRunner

from app.cli.main import app
from tests.factories import example

FILE = """
nodes:
  archive: {protocol: dicomweb, url: https://pacs.example/dicom-web, token_file: not-on-this-machine}
routes:
  - {name: hands, when: {body_part: HAND, modality: [DX, DR]}, outputs: sr, target: archive}
  - {name: chests, when: {description: "thorax*", source_ae: "MODALITY?"}, outputs: [sr, gsps], target: archive}
  - {name: rest, outputs: [sc], target: archive}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pacs.yaml").write_text(FILE)
    (tmp_path / "film.dcm").write_bytes(example("RG1_J2KR.dcm"))
    return tmp_path


def check(folder, *more, config="pacs.yaml", image="film.dcm"):
    return CliRunner().invoke(app, ["routes", "check", str(folder / config), str(folder / image), *more])


def test_the_first_rule_that_fits_is_told_after_why_the_others_do_not(folder):
    result = check(folder, "--source", "MODALITY1")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [
        "modality: 'CR'",
        "body_part: 'CHEST'",
        "description: 'THORAX'",
        "source_ae: 'MODALITY1'",
        "rule hands does not fit:",
        "  modality is 'CR', the rule requires 'DX' or 'DR'",
        "  body_part is 'CHEST', the rule requires 'HAND'",
        "rule chests fits: the default model → sr, gsps → archive",
    ]


def test_another_caller_gets_another_rule(folder):
    result = check(folder, "--source", "ELSEWHERE")
    assert result.exit_code == 0
    assert "source_ae is 'ELSEWHERE', the rule requires 'MODALITY?'" in result.stdout
    assert "rule rest fits: the default model → sc → archive" in result.stdout


def test_without_a_rule_the_status_is_3(folder):
    (folder / "pacs.yaml").write_text(FILE.replace("  - {name: rest, outputs: [sc], target: archive}\n", ""))
    result = check(folder)
    assert result.exit_code == 3
    assert result.stdout.splitlines()[-1] == "no rule fits: the image would be ignored"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("target: archive}\n  - {name: chests", "target: x}\n  - {name: chests", "routes.0.target: no node 'x'"),
        (
            "name: rest,",
            "name: rest, model: nobody,",
            "routes.2.model: no model 'nobody'; served: chest-lite0",
        ),
        ("routes:", "rotes:", "rotes: Extra inputs are not permitted"),
    ],
)
def test_an_invalid_file_is_explained_with_status_1(folder, old, new, said):
    assert FILE.count(old) == 1
    (folder / "pacs.yaml").write_text(FILE.replace(old, new))
    result = check(folder)
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr.splitlines()


def test_all_problems_of_the_file_and_of_the_image_are_listed(folder):
    broken = FILE.replace("target: archive}\n  - {name: chests", "target: x}\n  - {name: chests")
    (folder / "pacs.yaml").write_text(
        broken.replace("sr, target", "sr, model: nobody, target").replace("[sc]", "[pdf]")
    )
    result = check(folder, image="none.dcm")
    listed = [line.partition(":")[0] for line in result.stderr.splitlines()]
    assert listed[1:4] == ["routes.2.outputs.0", "routes.0.target", "routes.0.model"]
    assert "none.dcm cannot be read" in result.stderr


@pytest.mark.parametrize("content", [b"", b"no DICOM", b"\0" * 128 + b"DICM" + b"\xff" * 40])
def test_what_is_no_image_is_refused_with_status_1(folder, content):
    (folder / "odd.dcm").write_bytes(content)
    result = check(folder, image="odd.dcm")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.strip()
    assert isinstance(result.exception, SystemExit)


def test_files_that_are_missing_are_named(folder):
    for config, image in (("none.yaml", "film.dcm"), ("pacs.yaml", "none.dcm")):
        result = check(folder, config=config, image=image)
        assert result.exit_code == 1
        assert "cannot be read: No such file" in result.stderr


def test_nothing_of_the_image_steers_the_terminal(folder):
    data = example("RG1_J2KR.dcm").replace(b"THORAX", b"\x1b[31mX")
    (folder / "film.dcm").write_bytes(data)
    result = check(folder)
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
