"""The conformance statement says what the code does."""

import re
from pathlib import Path

from pydicom import uid

from app.pacs import configuration, nodes
from app.pacs.transport.listener import TRANSFER_SYNTAXES

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs/DICOM-CONFORMANCE.md").read_text()


def rows(text: str) -> list[list[str]]:
    """The cells of a table, without its head."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.strip().splitlines()[2:]]


def listed() -> str:
    begin, end = "<!-- transfer-syntaxes:begin -->\n", "<!-- transfer-syntaxes:end -->"
    return PAGE[PAGE.index(begin) + len(begin) : PAGE.index(end)]


def test_transfer_syntaxes_are_those_of_the_listener_in_its_order():
    assert rows(listed()) == [[syntax.name, str(syntax)] for syntax in TRANSFER_SYNTAXES]


def test_names_and_uids_belong_together():
    found = re.findall(r"^\| ([^|]+?) \| (1\.2\.840\.10008[0-9.]+) \|", PAGE, re.MULTILINE)
    assert len(found) > 10
    for name, number in found:
        assert uid.UID(number).name in {name, f"{name} SOP Class"}


def test_private_codes_are_those_that_are_written():
    source = (ROOT / "app/dicom_objects/structured_report.py").read_text()
    written = re.findall(r'Coded\("(\w+)", "99MPN", "([^"]+)"\)', source)
    documented = re.findall(r"^\| (\w+) \| 99MPN \| ([^|]+?) \|", PAGE, re.MULTILINE)
    assert documented
    assert sorted(written) == sorted(documented)


def test_every_key_of_the_file_is_documented():
    guide = (ROOT / "docs/PACS.md").read_text()
    parts = [nodes.Listener, nodes.Peer, nodes.DicomWebNode, nodes.DimseNode]
    for part in (*parts, configuration.Rule, configuration.Conditions):
        for name in part.model_fields:
            assert f"`{name}`" in guide or f"`{name}:" in guide, f"{part.__name__}.{name}"
