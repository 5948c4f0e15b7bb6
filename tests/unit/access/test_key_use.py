"""The time of last use of each key: written without a secret, by any number of processes."""

from datetime import UTC, datetime, timedelta

from structlog.testing import capture_logs

from app.access.key_use import KeyUse, read_last_uses
from app.access.keys import KeyFile, add_key, new_key, record_of

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=5)


def test_a_use_of_a_key_is_written_under_its_id_without_the_key_or_its_hash(tmp_path):
    key = new_key()
    record = record_of(key, "pacs", ["predict"])
    add_key(tmp_path / "keys.json", record)
    use = KeyUse(tmp_path / "used", lambda: NOON)
    file = KeyFile(tmp_path / "keys.json", on_use=use.note)
    file.find(new_key())
    use.save()
    assert not (tmp_path / "used").exists()
    file.find(key)
    use.save()
    assert read_last_uses(tmp_path / "used") == {record.id: NOON}
    written = (tmp_path / "used").read_text()
    assert key not in written
    assert record.sha256 not in written


def test_processes_that_share_a_file_keep_the_latest_use(tmp_path):
    one, other = KeyUse(tmp_path / "used", lambda: LATER), KeyUse(tmp_path / "used", lambda: NOON)
    one.note("a")
    other.note("a")
    other.note("b")
    one.save()
    other.save()
    assert read_last_uses(tmp_path / "used") == {"a": LATER, "b": NOON}


def test_a_folder_that_cannot_be_written_is_logged_once(tmp_path):
    use = KeyUse(tmp_path / "nowhere/used")
    with capture_logs() as logs:
        for key in "ab":
            use.note(key)
            use.save()
    assert [line["event"] for line in logs] == ["key_use_not_written"]


def test_a_damaged_file_is_replaced(tmp_path):
    (tmp_path / "used").write_text("{")
    use = KeyUse(tmp_path / "used", lambda: NOON)
    use.note("a")
    use.save()
    assert read_last_uses(tmp_path / "used") == {"a": NOON}
