"""The service behind a reverse proxy that removes a path prefix from requests."""

import re

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.thorough]

PREFIX = "/chest-ai"


@pytest.fixture(scope="module")
def client(start_service, tmp_path_factory):
    from tests.artifacts import save_small_artifact

    folder = tmp_path_factory.mktemp("models")
    save_small_artifact(folder, "one")
    service = start_service(root_path=f"{PREFIX}/", models_dir=folder, model="one", decode_workers=1)
    with service.client() as opened:
        yield opened


def test_the_documentation_and_its_files_are_found(client):
    page = client.get("/docs").text
    assert f"'{PREFIX}/openapi.json'" in page
    files = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert files
    for file in files:
        assert file.startswith(PREFIX)
        assert client.get(file.removeprefix(PREFIX)).status_code == 200
    assert client.get("/openapi.json").json()["servers"] == [{"url": PREFIX}]


def test_the_viewer_asks_for_its_files_beside_itself(client):
    page = client.get("/").text
    files = re.findall(r'(?:src|href)="(?!data:)([^"#]+)"', page)
    assert files
    for file in files:
        assert not file.startswith("/")
        assert client.get(f"/{file}").status_code == 200


def test_requests_and_metrics_know_no_prefix(client):
    assert client.get("/findings").status_code == 200
    assert 'route="/findings"' in client.get("/metrics").text
