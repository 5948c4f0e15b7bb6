"""The PACS configuration file: what is accepted, and that every error names its location."""

import os
import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.errors import ConfigurationError
from app.pacs.configuration import PacsConfig, load, require_files
from app.pacs.nodes import DicomWebNode, DimseNode, Listener, read_secret

WHOLE = """
listener:
  ae_title: MEDPATCHNET
  host: 0.0.0.0
  port: 11112
  peers:
    - {ae_title: MODALITY1, address: 10.1.2.3}
    - {ae_title: ORTHANC, address: 10.2.0.0/16}
    - {ae_title: ANYWHERE}
  max_associations: 4
nodes:
  archive: {protocol: dicomweb, url: https://pacs.example/dicom-web, username: mpn, password_file: secrets/password}
  store: {protocol: dimse, ae_title: STORE, host: pacs.example, port: 104, timeout_s: 5}
routes:
  - name: emergency
    when: {modality: [CR, DX], description: ["*THORAX*", "*chest*"], source_ae: MODALITY1}
    model: chest-lite0
    outputs: [sr, sc, gsps]
    target: archive
  - name: others
    when: {modality: DX, body_part: ["", CHEST]}
    outputs: sr
    target: store
"""


@pytest.fixture
def written(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "pacs.yaml"
        path.write_text(text)
        return path

    return write


def problems(written, text: str, **options) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(written(text), **options)
    return caught.value.detail.splitlines()


def node(**changes) -> DicomWebNode:
    return DicomWebNode.model_validate({"protocol": "dicomweb", "url": "https://pacs.example/dicom-web", **changes})


def test_a_complete_file_is_loaded(written, tmp_path):
    config = load(written(WHOLE), models=["chest-lite0"])
    assert config.listener is not None
    assert (config.listener.ae_title, config.listener.max_associations) == ("MEDPATCHNET", 4)
    archive, store = config.nodes["archive"], config.nodes["store"]
    assert isinstance(archive, DicomWebNode)
    assert archive.password_file == tmp_path / "secrets/password"
    assert isinstance(store, DimseNode)
    assert (store.host, store.port, store.timeout_s) == ("pacs.example", 104, 5.0)
    first, second = config.routes
    assert first.when.modality == ("CR", "DX")
    assert first.outputs == ("sr", "sc", "gsps")
    assert (second.when.modality, second.when.body_part, second.when.source_ae) == (("DX",), ("", "CHEST"), None)
    assert (second.model, second.outputs) == (None, ("sr",))


def test_a_loaded_configuration_is_immutable(written):
    config = load(written(WHOLE))
    with pytest.raises(ValidationError):
        config.routes[0].target = "store"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("target: store", "target: x", "routes.1.target: no node 'x'"),
        ("name: others", "name: emergency", "routes.1.name: another rule has the name 'emergency'"),
        ("outputs: sr", "outputs: [pdf]", "routes.1.outputs.0: Input should be 'sr', 'sc', 'gsps' or 'seg'"),
        ("outputs: sr", "outputs: [sr, sr]", "routes.1.outputs: an object is listed twice"),
        ("outputs: sr", "outputs: []", "routes.1.outputs: Value should have at least 1 item"),
        ("modality: DX", "modality: []", "routes.1.when.modality: Value should have at least 1 item"),
        ("modality: DX", "modalty: DX", "routes.1.when.modalty: Extra inputs are not permitted"),
        ("port: 104", "port: 70000", "nodes.store.port: Input should be less than or equal to 65535"),
        ("host: pacs.example", "host: http://pacs", "nodes.store.host: neither a host name nor an IP address"),
        ("title: STORE", "title: FAR_TOO_LONG_TITLE", "nodes.store.ae_title: an AE title has 1 to 16 ASCII characters"),
        ("protocol: dimse", "protocol: ftp", "nodes.store: Input tag 'ftp'"),
        ("https://pacs", "http://pacs", "nodes.archive: 'url' is plain http to another machine"),
        ("username: mpn, ", "", "nodes.archive: 'username' and 'password_file' require each other"),
        ("10.1.2.3", "10.1.2.3/8", "listener.peers.0.address: value is not a valid IPv4 or IPv6 network"),
        ("name: others", "name: two words", "routes.1.name: String should match pattern"),
        ("  store:", "  ../store:", "nodes.../store"),
    ],
)
def test_an_error_names_its_location(written, old, new, message):
    assert WHOLE.count(old) == 1
    first, *lines = problems(written, WHOLE.replace(old, new))
    assert first.endswith("pacs.yaml cannot be used:")
    assert any(line.startswith(message) for line in lines), lines


def test_all_errors_are_reported_together(written):
    text = WHOLE.replace("port: 104", "port: 0").replace("outputs: sr", "outputs: [pdf]")
    assert len(problems(written, text)) == 3
    text = WHOLE.replace("target: store", "target: x").replace("target: archive", "target: y")
    assert problems(written, text)[1:] == ["routes.0.target: no node 'y'", "routes.1.target: no node 'x'"]


def test_problems_between_the_parts_are_reported_beside_those_of_fields(written):
    text = WHOLE.replace("port: 104", "port: 0").replace("target: store", "target: x").replace("others", "emergency")
    found = problems(written, text, models=["other"])[1:]
    assert len(found) == 5
    assert found[0].startswith("nodes.store.port: ")
    assert found[1:] == [
        "routes.0.name: another rule has the name 'emergency'",
        "routes.1.name: another rule has the name 'emergency'",
        "routes.1.target: no node 'x'",
        "routes.0.model: no model 'chest-lite0'; served: other",
    ]


def test_every_duplicate_key_is_reported(written):
    found = problems(written, "nodes: {}\nnodes: {}\nroutes: []\nroutes: []\n")
    assert [line.partition(": ")[2] for line in found] == [
        "line 2: the key 'nodes' occurs twice",
        "line 4: the key 'routes' occurs twice",
    ]


def test_models_are_checked_against_the_served_ones(written):
    assert problems(written, WHOLE, models=["other", "more"])[1:] == [
        "routes.0.model: no model 'chest-lite0'; served: other, more"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nodes: [", "line 1: "),
        ("nodes:\n  a: 1\nnodes:\n  b: 1", "line 3: the key 'nodes' occurs twice"),
        ("routes: &a [*a]", "routes.0"),
        ("!!python/object:os.system {}", "could not determine a constructor"),
        ("", "valid dictionary"),
        ("[]", "valid dictionary"),
        ("[" * 1200, "not YAML"),
        ("a: \x00", "not YAML"),
        ("#" * 1_100_000, "larger than"),
    ],
)
def test_an_invalid_file_is_refused(written, text, message):
    assert any(message in line for line in problems(written, text))


def test_the_error_of_an_unreadable_file_names_it(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        load(tmp_path / "nowhere.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"routes: \xe4")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load(tmp_path / "latin.yaml")


def test_a_public_listener_requires_peers_and_rules():
    for host in ("127.0.0.1", "localhost", "::1"):
        Listener(host=host)
    with pytest.raises(ValidationError, match="needs 'peers'"):
        Listener(host="0.0.0.0")
    with pytest.raises(ValidationError, match="a listener needs at least one rule"):
        PacsConfig(listener=Listener())


@pytest.mark.parametrize(
    ("title", "address", "admitted"),
    [
        ("MODALITY1", "10.1.2.3", True),
        ("MODALITY1 ", "10.1.2.3", True),
        ("MODALITY1", "::ffff:10.1.2.3", True),
        ("MODALITY1", "10.1.2.4", False),
        ("modality1", "10.1.2.3", False),
        ("ORTHANC", "10.2.77.1", True),
        ("ORTHANC", "fe80::1%eth0", False),
        ("ANYWHERE", "fe80::1%eth0", True),
        ("STRANGER", "10.1.2.3", False),
    ],
)
def test_callers_are_identified_by_title_and_address(written, title, address, admitted):
    listener = load(written(WHOLE)).listener
    assert listener is not None
    assert listener.admits(title, address) is admitted


def test_a_listener_on_loopback_without_peers_admits_anyone():
    assert Listener().admits("ANYONE", "127.0.0.1")


AE_CHARACTERS = st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="\\")


@given(st.text(AE_CHARACTERS, min_size=1, max_size=16).filter(str.strip))
def test_every_valid_ae_title_is_accepted_and_stripped(title):
    assert Listener(ae_title=title).ae_title == title.strip()


@given(
    st.one_of(st.text(min_size=17).filter(lambda text: len(text.strip(" ")) > 16), st.text("\\\n\täあ ", max_size=16))
)
def test_invalid_ae_titles_are_refused(title):
    with pytest.raises(ValidationError):
        Listener(ae_title=title)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8042/dicom-web", "http://127.0.0.1/dicom-web", "http://[::1]:8042/", "https://pacs.example",
    ],
)  # fmt: skip
def test_accepted_urls(url):
    assert node(url=url).url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://orthanc:8042/dicom-web", "http://10.0.0.7/", "http://localhost.evil.example/", "ftp://pacs.example/",
        "https://user:word@pacs.example/", "https://pacs.example/?key=1", "https://pacs.example/#x", "https://", "pacs",
        "https://pacs.example:99999/", "https://[::1/",
    ],
)  # fmt: skip
def test_refused_urls(url):
    with pytest.raises(ValidationError):
        node(url=url)


def test_plain_http_can_be_accepted_explicitly():
    assert node(url="http://orthanc:8042/dicom-web", plain_http=True).plain_http


@pytest.mark.parametrize(
    "fields",
    [
        {"username": "a"},
        {"password_file": "p"},
        {"username": "a", "password_file": "p", "token_file": "t"},
        {"username": "a:b", "password_file": "p"},
        {"password": "in the file"},
        {"url": "http://localhost/", "ca_file": "ca.pem"},
        {"timeout_s": 0},
    ],
)
def test_credentials_are_complete_and_in_files(fields):
    with pytest.raises(ValidationError):
        node(**fields)


def test_a_secret_is_the_first_line(tmp_path):
    (tmp_path / "secret").write_text("s3cret\n")
    assert read_secret(tmp_path / "secret") == "s3cret"


def test_missing_or_invalid_files_of_nodes_are_errors(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "ca.pem").write_text("SENTINEL")
    config = PacsConfig(
        nodes={
            "a": node(username="u", password_file=tmp_path / "none"),
            "b": node(token_file=tmp_path / "empty"),
            "c": node(token_file=tmp_path / "binary", ca_file=tmp_path / "ca.pem"),
            "d": node(ca_file=tmp_path / "none"),
            "e": DimseNode(protocol="dimse", ae_title="E", host="e", port=104),
        }
    )
    with pytest.raises(ConfigurationError) as caught:
        require_files(config)
    lines = caught.value.detail.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "nodes.a.password_file", "nodes.b.token_file", "nodes.c.token_file", "nodes.c.ca_file", "nodes.d.ca_file",
    ]  # fmt: skip
    assert "SENTINEL" not in caught.value.detail


def test_existing_files_of_nodes_are_accepted(tmp_path):
    (tmp_path / "token").write_text("t")
    authorities = ssl.get_default_verify_paths().openssl_cafile
    options = {"ca_file": authorities} if os.path.exists(authorities) else {}
    require_files(PacsConfig(nodes={"a": node(token_file=tmp_path / "token", **options), "b": node()}))
