"""API keys: made, kept as hashes, found in constant time, exchanged while the service runs."""

import json
import statistics
from time import perf_counter

import pytest
from structlog.testing import capture_logs

from app.access import keys
from app.access.keys import KeyFile, add_key, find_key, new_key, read_keys, record_of, revoke_key
from app.errors import ConfigurationError
from tests.clocks import Clock


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "secrets/keys.json"
    key = new_key()
    add_key(path, record_of(key, "pacs", ["predict", "explain", "predict"]))
    return path, key


def test_a_key_has_256_random_bits_and_only_its_hash_is_kept(key_file):
    path, key = key_file
    assert key.startswith("mpn_")
    assert len(key) == 4 + 43
    assert key != new_key()
    assert key not in path.read_text()
    assert key[4:] not in path.read_text()
    assert set(json.loads(path.read_text())[0]) == {"name", "scopes", "sha256"}


def test_a_key_is_found_with_its_name_and_scopes(key_file):
    path, key = key_file
    caller = KeyFile(path).find(key)
    assert (caller.name, caller.scopes) == ("pacs", {"predict", "explain"})


@pytest.mark.parametrize(
    "change", [lambda k: k[:-1], lambda k: k + "x", lambda k: k.swapcase(), lambda k: "", str.encode]
)
def test_anything_but_the_key_is_not_found(key_file, change):
    path, key = key_file
    other = change(key)
    assert find_key(read_keys(path), other if isinstance(other, str) else other.hex()) is None


def test_every_entry_is_compared_wherever_the_key_stands(key_file, monkeypatch):
    path, key = key_file
    for name in ("ris", "viewer"):
        add_key(path, record_of(new_key(), name, ["explain"]))
    compared = []
    compare = keys.hmac.compare_digest
    monkeypatch.setattr(keys.hmac, "compare_digest", lambda a, b: compared.append(a) or compare(a, b))
    assert find_key(read_keys(path), key).name == "pacs"
    assert len(compared) == 3


def test_an_old_and_a_new_key_of_one_name_are_valid_at_once(key_file):
    path, key = key_file
    other = new_key()
    add_key(path, record_of(other, "pacs", ["predict"]))
    ring = KeyFile(path)
    assert ring.find(key).name == ring.find(other).name == "pacs"


def test_a_changed_file_is_read_again_within_a_second(key_file):
    path, old = key_file
    clock = Clock()
    ring = KeyFile(path, clock)
    fresh = new_key()
    path.write_text("[]")
    add_key(path, record_of(fresh, "pacs", ["predict"]))
    clock.now = 0.5
    assert ring.find(old) is not None
    clock.now = 1.0
    assert ring.find(old) is None
    assert ring.find(fresh) is not None


@pytest.mark.parametrize("content", ["{", '[{"name": "x"}]', None])
def test_a_change_that_cannot_be_read_leaves_the_keys_and_is_logged_without_content(key_file, content):
    path, key = key_file
    clock = Clock()
    ring = KeyFile(path, clock)
    path.unlink() if content is None else path.write_text(content)
    clock.now = 2.0
    with capture_logs() as logs:
        assert ring.find(key) is not None
    assert [line["event"] for line in logs] == ["key_file_unreadable"]


HASH = "0" * 64
BAD_FILES = [
    "",
    "{}",
    '[{"name": "x", "scopes": ["predict"]}]',
    '[{"name": "x", "scopes": [], "sha256": "' + HASH + '"}]',
    '[{"name": "x", "scopes": ["root"], "sha256": "' + HASH + '"}]',
    '[{"name": "x", "scopes": ["predict"], "sha256": "sssh-my-key-in-clear"}]',
]


@pytest.mark.parametrize("content", BAD_FILES)
def test_a_bad_key_file_ends_the_start_without_quoting_it(tmp_path, content):
    (tmp_path / "keys.json").write_text(content)
    with pytest.raises(ConfigurationError) as refusal:
        KeyFile(tmp_path / "keys.json")
    assert "in-clear" not in refusal.value.detail


@pytest.mark.parametrize(("name", "scopes"), [("a b", ["predict"]), ("", ["predict"]), ("x", [])])
def test_odd_names_and_no_scopes_are_refused(name, scopes):
    with pytest.raises(ConfigurationError):
        record_of(new_key(), name, scopes)


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be"):
        add_key(tmp_path / "file/keys.json", record_of(new_key(), "x", ["predict"]))


def test_a_key_is_revoked_by_its_id_or_by_its_name(key_file):
    path, key = key_file
    other = new_key()
    add_key(path, record_of(other, "ris", ["explain"]))
    revoke_key(path, read_keys(path)[0].id)
    assert [record.name for record in read_keys(path)] == ["ris"]
    assert KeyFile(path).find(key) is None
    assert revoke_key(path, "ris").scopes == ("explain",)
    assert read_keys(path) == ()


def test_a_name_of_two_keys_revokes_neither(key_file):
    path, _ = key_file
    add_key(path, record_of(new_key(), "pacs", ["explain"]))
    with pytest.raises(ConfigurationError) as refusal:
        revoke_key(path, "pacs")
    assert all(record.id in refusal.value.detail for record in read_keys(path))
    with pytest.raises(ConfigurationError, match="has no key 'nobody'"):
        revoke_key(path, "nobody")
    assert len(read_keys(path)) == 2


@pytest.mark.slow
def test_the_time_of_a_comparison_does_not_depend_on_the_prefix(key_file):
    path, key = key_file
    records = read_keys(path)
    guesses = [key[:kept] + "A" * (len(key) - kept) for kept in (0, 12, 24, 36, 46)]
    times = {guess: [] for guess in guesses}
    for _ in range(20_000):
        for guess in guesses:
            begin = perf_counter()
            find_key(records, guess)
            times[guess].append(perf_counter() - begin)
    medians = [statistics.median(values) for values in times.values()]
    print([f"{median * 1e9:.0f} ns" for median in medians])
    assert max(medians) < 1.05 * min(medians)
