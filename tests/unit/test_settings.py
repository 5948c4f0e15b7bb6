"""Variables of the environment that are no settings."""

from app.settings import unknown_variables


def test_a_misspelt_setting_is_reported_with_the_one_that_was_meant():
    found = unknown_variables({"MEDPATCHNET_API_KEY_FILE": "x", "MEDPATCHNET_PORT": "1", "HOME": "/"})
    assert found == ["MEDPATCHNET_API_KEY_FILE: not a setting; did you mean MEDPATCHNET_API_KEYS_FILE?"]


def test_a_variable_unlike_any_setting_points_to_the_list_of_settings():
    assert unknown_variables({"medpatchnet_xyzzy": ""}) == [
        "medpatchnet_xyzzy: not a setting; all settings: docs/SETTINGS.md"
    ]


def test_every_unknown_variable_is_reported():
    assert len(unknown_variables({"MEDPATCHNET_A": "", "MEDPATCHNET_B": ""})) == 2


def test_variables_that_kubernetes_sets_for_a_service_come_with_its_remedy():
    (found,) = unknown_variables({"MEDPATCHNET_SERVICE_HOST": "10.0.0.1"})
    assert "enableServiceLinks: false" in found
