"""Which operating point is in force, and what the site's file can say."""

import pytest

from app.errors import ConfigurationError, InvalidQuery
from app.service.operating_points import SitePoint, operating_points, read_site_points
from tests.artifacts import manifest_with_points


@pytest.fixture(scope="module")
def manifest():
    """Edema validated, Pneumonia weak, Fracture untrained, the others imported without points."""
    points = {"balanced": 0.5, "sensitive": 0.2}
    edema = points | {"specific": 0.8}
    return manifest_with_points(
        {"Edema": ("validated", edema), "Pneumonia": ("weak", points), "Fracture": ("untrained", {})}
    )


def in_force(points, finding):
    point = points.in_force.get(finding)
    return None if point is None else (point.name, point.threshold, point.origin, point.decides)


def test_the_default_of_the_manifest_decides_validated_findings_only(manifest):
    points = operating_points(manifest)
    assert in_force(points, "Edema") == ("balanced", 0.5, "manifest", True)
    assert in_force(points, "Pneumonia") == ("balanced", 0.5, "manifest", False)
    assert in_force(points, "Fracture") is in_force(points, "Lung Lesion") is None


def test_each_choice_takes_precedence_over_the_ones_before_it(manifest):
    site = {"Edema": SitePoint(threshold=0.31, name="local")}
    assert in_force(operating_points(manifest, "sensitive"), "Edema") == ("sensitive", 0.2, "setting", True)
    points = operating_points(manifest, "sensitive", site)
    assert in_force(points, "Edema") == ("local", 0.31, "site_file", True)
    assert in_force(points, "Pneumonia") == ("sensitive", 0.2, "setting", False)
    assert in_force(points.at("balanced"), "Edema") == ("balanced", 0.5, "request", True)
    assert points.at(None) is points


def test_a_name_that_a_finding_lacks_leaves_its_point_in_force(manifest):
    points = operating_points(manifest).at("specific")
    assert in_force(points, "Edema") == ("specific", 0.8, "request", True)
    assert in_force(points, "Pneumonia") == ("balanced", 0.5, "manifest", False)


def test_the_site_can_have_a_finding_decided_that_is_not_validated(manifest):
    points = operating_points(manifest, site={"Pneumonia": "sensitive", "Lung Lesion": SitePoint(threshold=0.4)})
    assert in_force(points, "Pneumonia") == ("sensitive", 0.2, "site_file", True)
    assert in_force(points, "Lung Lesion") == ("site", 0.4, "site_file", True)
    assert in_force(points.at("balanced"), "Pneumonia") == ("balanced", 0.5, "request", True)
    assert points.available["Lung Lesion"]["site"].sensitivity is None


def test_an_unknown_name_of_a_request_lists_the_names(manifest):
    with pytest.raises(InvalidQuery, match="balanced, sensitive, specific"):
        operating_points(manifest).at("optimal")


@pytest.mark.parametrize(
    ("setting", "site", "message"),
    [
        ("optimal", {}, "MEDPATCHNET_OPERATING_POINT: .*'optimal'.*balanced, sensitive, specific"),
        ("", {"Pneumonia": "specific"}, "Pneumonia: .*'specific'.*balanced, sensitive"),
        ("", {"Lung Lesion": "balanced"}, "Lung Lesion: .*it has: none"),
        ("", {"Fracture": SitePoint(threshold=0.5)}, "Fracture: .*not trained"),
    ],
)
def test_a_name_that_does_not_exist_ends_the_start(manifest, setting, site, message):
    with pytest.raises(ConfigurationError, match=message):
        operating_points(manifest, setting, site)


def test_the_file_names_findings_as_everywhere(tmp_path):
    file = tmp_path / "points.yaml"
    file.write_text("effusion: sensitive\nEdema: {threshold: 0.31, name: local}\nPneumonia: {threshold: 0.4}\n")
    assert read_site_points(file) == {
        "Pleural Effusion": "sensitive",
        "Edema": SitePoint(threshold=0.31, name="local"),
        "Pneumonia": SitePoint(threshold=0.4, name="site"),
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Edemata: sensitive", "Edema"),
        ("Edema: {threshold: 1.5}", "Edema.*threshold"),
        ("Edema: {thresh: 0.5}", "Edema.*thresh"),
        ("Edema: Not A Name", "Edema"),
        ("Edema: sensitive\nedema: balanced", "two entries"),
        ("Edema: sensitive\nEdema: balanced", "line 2"),
        ("- Edema", "dictionary"),
        ("[", "line"),
    ],
)
def test_a_file_that_is_wrong_says_where(tmp_path, content, message):
    file = tmp_path / "points.yaml"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=rf"(?s)points\.yaml.*{message}"):
        read_site_points(file)


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"nowhere\.yaml cannot be read"):
        read_site_points(tmp_path / "nowhere.yaml")
