"""`models pull` against a server that behaves as the hub does: what works, and every fault of the hub."""

import json
import os
from io import BytesIO

import pytest
import torch

from app.errors import ArtifactError, ConfigurationError
from app.models_folder import hub as client
from app.models_folder.adding import Addition, pull
from app.models_folder.catalogue import entry_of, read_catalogue
from app.models_folder.known_hashes import FILE as KNOWN
from app.patchnet import artifact
from tests.authors import authors_checkpoint, authors_model
from tests.hub import COMMIT, FILE, REPOSITORY, TOKEN, running_hub

NOISE = bytes(range(256)) * 2_000


@pytest.fixture(scope="module")
def checkpoint():
    return authors_checkpoint(authors_model(backbone="efficientnet_b0"))


@pytest.fixture(scope="module")
def other_checkpoint():
    return authors_checkpoint(authors_model(backbone="efficientnet_b0", seed=4))


@pytest.fixture
def entry():
    """The catalogue's entry, with a smaller backbone than the authors', which takes less time."""
    return read_catalogue()["medicalpatchnet"].model_copy(update={"backbone": "efficientnet_b0"})


@pytest.fixture(autouse=True)
def client_without_waits(monkeypatch):
    """The client waits seconds between its attempts, and writes parts of 10 MB."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 50_000)
    monkeypatch.delenv("HF_TOKEN", raising=False)


@pytest.fixture
def models(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def from_hub(hub, entry, models, **options):
    return pull(entry, Addition(models, **options), endpoint=hub.url, cache=models.parent / "cache")


def files_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def test_a_pulled_model_is_an_imported_artifact_that_states_its_origin(checkpoint, entry, models):
    with running_hub(weights=checkpoint) as hub:
        manifest = from_hub(hub, entry, models)
    loaded = artifact.load(models / "medicalpatchnet")
    assert {record.status for record in loaded.manifest.findings} == {"imported"}
    assert loaded.manifest.history[0].source == f"{REPOSITORY}@{COMMIT}/{FILE}"
    assert loaded.manifest.licence.startswith("MIT, as stated in")
    assert loaded.manifest.metrics["published.auroc_14_findings"] == 0.902
    known = json.loads((models / KNOWN).read_text())
    assert known == {f"{REPOSITORY}@main/{FILE}": manifest.history[0].source_sha256}


def test_the_token_goes_to_the_hub_and_never_to_its_cdn(entry, models, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with running_hub(weights=NOISE) as hub:
        hub.gated = True
        assert client.download(entry, endpoint=hub.url, cache=models).path.read_bytes() == NOISE
    assert {authorization for _, path, authorization, _ in hub.requests if path.startswith("/cdn/")} == {None}


def test_a_cut_transfer_continues_where_it_ended(entry, models):
    with running_hub(weights=NOISE) as hub:
        hub.cuts, hub.cut_after = 2, 100_000
        assert client.download(entry, endpoint=hub.url, cache=models).path.read_bytes() == NOISE
    assert hub.transfers() == [None, "bytes=100000-", "bytes=200000-"]


@pytest.mark.thorough
def test_a_model_in_the_cache_is_not_transferred_again(checkpoint, entry, models):
    with running_hub(weights=checkpoint) as hub:
        from_hub(hub, entry, models)
        from_hub(hub, entry, models, name="again")
    assert len(hub.transfers()) == 1


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"gated": True}, "is gated: accept its conditions"),
        ({"status": 401}, "requires an access token"),
        ({"status": 403}, "refuses this access token"),
        ({"status": 429}, "limits the rate of requests"),
        ({"status": 500}, "answers with status 500"),
        ({"files": {}}, "has no such file"),
        ({"cuts": 1_000}, "the download failed"),
        ({"announced": "0" * 64}, "was damaged"),
    ],
)
def test_a_fault_of_the_hub_is_named_and_leaves_nothing(entry, models, fault, message):
    with running_hub(weights=NOISE) as hub:
        for name, value in fault.items():
            setattr(hub, name, value)
        with pytest.raises(ArtifactError, match=message):
            from_hub(hub, entry, models)
    assert files_below(models) == []
    assert not [name for name in files_below(models.parent) if "blobs" in name]


def test_a_hub_that_is_not_there_is_named_with_a_way_out(entry, models):
    with running_hub() as hub:
        pass
    with pytest.raises(ArtifactError, match=r"cannot be reached.*models export"):
        from_hub(hub, entry, models)


@pytest.mark.thorough
def test_a_file_that_changed_at_its_source_is_refused_until_its_hash_is_given(
    checkpoint, other_checkpoint, entry, models
):
    with running_hub(weights=checkpoint) as hub:
        first = from_hub(hub, entry, models)
        hub.files[FILE] = other_checkpoint
        fresh = models.parent / "fresh"
        with pytest.raises(ArtifactError, match=r"recorded in .* when it was first downloaded"):
            pull(entry, Addition(models, replace=True), endpoint=hub.url, cache=fresh)
        assert artifact.load(models / "medicalpatchnet").manifest == first
        changed = client.download(entry, endpoint=hub.url, cache=fresh).sha256
        second = pull(entry, Addition(models, sha256=changed, replace=True), endpoint=hub.url, cache=fresh)
    assert second.weights_sha256 != first.weights_sha256
    assert changed in (models / KNOWN).read_text()


def test_the_hash_of_the_catalogue_is_checked(entry, models):
    stated = entry.model_copy(update={"sha256": "f" * 64})
    with running_hub(weights=NOISE) as hub, pytest.raises(ArtifactError, match=f"{'f' * 64} is stated for it"):
        from_hub(hub, stated, models)
    assert files_below(models) == []


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


def test_a_checkpoint_that_would_run_code_is_refused_and_named(entry, models, monkeypatch):
    monkeypatch.chdir(models)
    stream = BytesIO()
    torch.save({"_orig_mod.baseBackbone.x": Malicious()}, stream)
    with (
        running_hub(weights=stream.getvalue()) as hub,
        pytest.raises(ArtifactError, match=r"posix\.mkdir.*run as code"),
    ):
        from_hub(hub, entry, models)
    assert files_below(models) == []
    assert not (models / "pwned").exists()


def test_an_existing_artifact_is_replaced_only_on_request(entry, models):
    (models / "medicalpatchnet").mkdir()
    with running_hub(weights=NOISE) as hub, pytest.raises(ConfigurationError, match="use --replace"):
        from_hub(hub, entry, models)
    assert hub.requests == []


def test_an_unknown_name_lists_the_catalogue_and_the_nearest():
    with pytest.raises(ConfigurationError, match="medicalpatchnet-image; did you mean 'medicalpatchnet'"):
        entry_of("medicalpathnet", read_catalogue())


@pytest.mark.parametrize("name", ["../outside", "Upper", ".hidden", ""])
def test_a_name_never_leads_out_of_the_folder(entry, models, name):
    with pytest.raises(ConfigurationError, match="begins with a letter or digit"):
        Addition(models).target(name)
