"""The public interface, as a snapshot: a change of it is seen, and made on purpose."""

import json
import os
import re
from pathlib import Path

from app.runtime.application import create_app
from app.settings import Settings

SNAPSHOT = Path(__file__).with_name("openapi.json")


def test_the_interface_is_the_one_on_record():
    """To accept a change: UPDATE_SNAPSHOTS=1 uv run pytest tests/contract, and read the difference."""
    schema = create_app(Settings()).openapi()
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(json.dumps(schema, indent=1, sort_keys=True) + "\n")
    assert json.loads(SNAPSHOT.read_text()) == json.loads(json.dumps(schema))


def test_every_reference_leads_somewhere():
    referred = set(re.findall(r'"\$ref": "([^"]+)"', SNAPSHOT.read_text()))
    defined = json.loads(SNAPSHOT.read_text())["components"]["schemas"]
    assert referred <= {f"#/components/schemas/{name}" for name in defined}


def test_every_route_documents_its_problems():
    paths = json.loads(SNAPSHOT.read_text())["paths"]
    for path in ("/predict", "/explain"):
        documented = paths[path]["post"]["responses"]
        assert {"200", "400", "406", "413", "415", "422", "500", "503", "504"} <= set(documented)
        for status in ("413", "422", "503"):
            assert list(documented[status]["content"]) == ["application/problem+json"]
        assert {"application/dicom", "multipart/form-data"} <= set(paths[path]["post"]["requestBody"]["content"])
