import json
from datetime import UTC, datetime

import pytest
import torch
from pydantic import ValidationError

from app.errors import ArtifactError
from app.patchnet import artifact
from app.patchnet.backbones import build
from app.patchnet.findings import FINDING_NAMES
from app.patchnet.manifest import Description, FindingRecord, OperatingPoint, Quality
from app.patchnet.model import PatchNet

QUALITY = Quality(dataset="test", positives=3, negatives=5, auroc=0.75, auroc_interval=(0.5, 0.9))


def record(name, **changes):
    if name == "Fracture":
        return FindingRecord(name=name, status="untrained", **changes)
    return FindingRecord(
        **{
            "name": name,
            "status": "validated",
            "operating_points": {"balanced": OperatingPoint(threshold=0.25)},
            "quality": QUALITY,
            **changes,
        }
    )


def describe(**changes):
    content = {
        "name": "tiny",
        "version": "1.0.0",
        "backbone": "efficientnet_lite0",
        "image_size": 192,
        "findings": tuple(record(name) for name in FINDING_NAMES),
        "display_limit": 2.0,
        "intended_use": "tests",
        "training_data": "none",
        "attribution": "nobody",
        "licence": "Apache-2.0",
        "created": datetime(2026, 1, 2, tzinfo=UTC),
    }
    return Description(**{**content, **changes})


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return PatchNet(build("efficientnet_lite0", 14), 192, 64).eval()


@pytest.fixture
def saved(tmp_path, network):
    artifact.save(tmp_path / "tiny", network, describe(), "# Card")
    return tmp_path / "tiny"


def change_manifest(directory, **changes):
    path = directory / artifact.MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_saved_artefact_loads_with_the_same_logits(saved, network):
    loaded = artifact.load(saved)
    images = torch.rand(2, 1, 192, 192)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.network(images), network(images), atol=0, rtol=0)
    assert not loaded.network.training
    assert loaded.manifest.findings == describe().findings
    assert (saved / artifact.CARD).read_text() == "# Card"


def test_saving_again_replaces_and_leaves_nothing_behind(saved, network):
    artifact.save(saved, network, describe(version="2.0.0"), "")
    assert artifact.read_manifest(saved).version == "2.0.0"
    assert [path.name for path in saved.parent.iterdir()] == ["tiny"]


def test_a_failed_save_keeps_the_old_artefact(saved, monkeypatch, network):
    monkeypatch.setattr(artifact, "load", lambda directory: (_ for _ in ()).throw(ArtifactError("no")))
    with pytest.raises(ArtifactError):
        artifact.save(saved, network, describe(version="2.0.0"), "")
    assert artifact.read_manifest(saved).version == "1.0.0"
    assert [path.name for path in saved.parent.iterdir()] == ["tiny"]


def test_the_sizes_must_be_the_networks(tmp_path, network):
    with pytest.raises(ArtifactError, match="patch size"):
        artifact.save(tmp_path / "x", network, describe(image_size=256), "")


def test_artefacts_are_found_by_name_and_by_directory(saved):
    assert artifact.available(saved.parent) == ["tiny"]
    assert artifact.find("tiny", saved.parent) == saved
    assert artifact.find(str(saved), saved.parent / "elsewhere") == saved
    with pytest.raises(ArtifactError, match="tiny"):
        artifact.find("huge", saved.parent)


def test_changed_weights_are_refused(saved):
    weights = saved / artifact.WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ArtifactError, match="sha256"):
        artifact.load(saved)


def test_weights_of_another_backbone_are_refused(saved):
    change_manifest(saved, backbone="efficientnet_lite1")
    with pytest.raises(ArtifactError, match="missing"):
        artifact.load(saved)


def test_a_file_that_is_no_safetensors_is_refused(saved):
    import hashlib

    (saved / artifact.WEIGHTS).write_bytes(b"not tensors")
    change_manifest(saved, weights_sha256=hashlib.sha256(b"not tensors").hexdigest())
    with pytest.raises(ArtifactError, match="not a safetensors"):
        artifact.load(saved)


def test_missing_files_are_named(saved):
    (saved / artifact.WEIGHTS).unlink()
    with pytest.raises(ArtifactError, match=r"model\.safetensors cannot be read"):
        artifact.load(saved)
    (saved / artifact.MANIFEST).unlink()
    with pytest.raises(ArtifactError, match=r"manifest\.json cannot be read"):
        artifact.load(saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 3}, "schema_version"),
        ({"preprocessing": "resize/2"}, "preprocessing"),
        ({"surprise": 1}, "surprise"),
        ({"display_limit": 0}, "display_limit"),
        ({"patch_size": 60}, "tile"),
        ({"name": "../escape"}, "name"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(saved, changes, message):
    change_manifest(saved, **changes)
    with pytest.raises(ArtifactError, match=message):
        artifact.read_manifest(saved)


def test_a_manifest_that_is_no_json_is_refused(saved):
    (saved / artifact.MANIFEST).write_text("{")
    with pytest.raises(ArtifactError, match="does not fit"):
        artifact.read_manifest(saved)


def test_another_order_of_findings_is_refused():
    swapped = [record(name) for name in FINDING_NAMES]
    swapped[3], swapped[4] = swapped[4], swapped[3]
    with pytest.raises(ValidationError, match="in this order"):
        describe(findings=tuple(swapped))


def test_validated_needs_a_quality_and_untrained_has_none():
    with pytest.raises(ValidationError, match="without a measured quality"):
        record("Edema", quality=None)
    with pytest.raises(ValidationError, match="has an operating point"):
        record("Fracture", operating_points={"balanced": OperatingPoint(threshold=0.5)})


def test_a_checkpoint_of_another_architecture_is_refused():
    with pytest.raises(ArtifactError, match="missing"):
        artifact.network_from({"x": torch.zeros(1)}, describe())
