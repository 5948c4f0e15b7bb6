"""Which texts of Body Part Examined are accepted as the chest, in the languages and spellings of devices."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import NotAChestRadiograph
from app.imaging.decode import decode_image
from app.imaging.dicom.body_part import is_chest, shown
from app.imaging.radiograph import DecodeLimits
from tests import factories as make

CHEST_NAMES = ["CHEST", "THORAX", "LUNG", "TÓRAX", "BRUSTKORB", "POITRINE", "TORACE", "ΘΩΡΑΚΑΣ", "ГРУДНАЯ КЛЕТКА"]
QUALIFIERS = ["PA", "AP", "PORTABLE", "LATERAL", "LEFT", "UPRIGHT", "1 VIEW", "RX"]
SEPARATORS = st.sampled_from([" ", "-", "_", ",", "/", ", ", " - ", "."])


@given(st.sampled_from(CHEST_NAMES), st.lists(st.sampled_from(QUALIFIERS), max_size=3), SEPARATORS, st.randoms())
def test_qualifiers_separators_and_case_do_not_matter(name, qualifiers, separator, random):
    parts = [name, *qualifiers]
    random.shuffle(parts)
    text = separator.join(parts)
    assert is_chest(text)
    assert is_chest(text.lower())
    assert is_chest(f" {text.title()} ")


@pytest.mark.parametrize("text", ["CHEST_TO_PORTABLE", "CHESTPA", "CHEST2VW", "PORTCHEST", "X-RAY CHEST", "Chest (AP)"])
def test_texts_of_devices_are_accepted(text):
    assert is_chest(text)


@pytest.mark.parametrize(
    "text", ["胸部", "胸部正位", "胸部X線", "흉부", "흉부 PA", "грудная клетка", "Θώρακας", "thórax"]
)
def test_names_in_other_scripts_are_accepted(text):
    assert is_chest(text)


@pytest.mark.parametrize(
    "text",
    [
        *("CHESTNUT", "ABDOMEN CHEST", "CHESTABDOMEN", "CHEST/ABDOMEN", "CHESTABDPELVIS", "CHEST WALL", "HEAD"),
        *(
            "THORACIC SPINE",
            "ГОЛОВА",
            "頭部",
            "두부",
            "ΚΕΦΑΛΙ",
            "UNKNOWN",
            "RIBS",
            "LONG LEG",
            "FACE",
            "TABLE",
            "\ufffd\ufffd",
            "¹²³",
        ),
    ],
)
def test_other_texts_are_not_the_chest(text):
    assert not is_chest(text)


@pytest.mark.parametrize("text", [None, "", " ", "-", "PA", "PORTABLE"])
def test_no_body_part_is_accepted(text):
    assert is_chest(text)


def test_a_site_can_add_names():
    assert not is_chest("TX PORTABIL AP")
    assert is_chest("tx-portabil ap", ["Tx Portabil"])
    assert not is_chest("HAND", ["Tx Portabil", ""])


def test_names_of_a_site_are_accepted_by_decoding():
    data = make.chest_dicom(BodyPartExamined="TX PORTABIL")
    with pytest.raises(NotAChestRadiograph, match="body part TX PORTABIL"):
        decode_image(data, DecodeLimits())
    assert decode_image(data, DecodeLimits(chest_body_parts=("TX PORTABIL",)))


@given(st.text(max_size=300))
def test_what_is_shown_is_bounded_and_printable(text):
    quoted = shown(text)
    assert quoted is None or (quoted.isprintable() and 0 < len(quoted) <= 200)


@pytest.mark.parametrize("text", [make.SENTINEL, "DOE^JANE", "19700101", "ID=4711"])
def test_what_looks_like_a_person_is_not_shown(text):
    assert shown(text) is None


@pytest.mark.parametrize(
    ("charset", "encoding", "text"),
    [
        ("ISO_IR 100", "latin-1", "TÓRAX"),
        (None, "latin-1", "TÓRAX"),
        (None, "utf-8", "TÓRAX"),
        ("ISO_IR 192", "latin-1", "TÓRAX"),
        ("ISO_IR 192", "utf-8", "胸部"),
        ("ISO_IR 144", "iso8859_5", "ГРУДНАЯ КЛЕТКА"),
        ("GB18030", "gb18030", "胸部"),
        ("ISO_IR 126", "iso8859_7", "ΘΩΡΑΚΑΣ"),
    ],
)
def test_texts_are_read_in_the_character_set_of_the_object(charset, encoding, text):
    assert decode_image(with_body_part(text.encode(encoding), charset), DecodeLimits()).facts.body_part == text


@pytest.mark.parametrize(("charset", "encoding"), [("ISO_IR 192", "utf-8"), (None, "utf-8"), (None, "iso8859_5")])
def test_another_body_part_in_another_script_is_refused(charset, encoding):
    with pytest.raises(NotAChestRadiograph, match="body part"):
        decode_image(with_body_part("ГОЛОВА".encode(encoding), charset), DecodeLimits())


def with_body_part(value: bytes, charset: str | None) -> bytes:
    """A film whose Body Part Examined has these bytes."""
    value += b" " * (len(value) % 2)
    marker = "X" * len(value)
    more = {} if charset is None else {"SpecificCharacterSet": charset}
    return make.chest_dicom(BodyPartExamined=marker, **more).replace(marker.encode(), value)


def test_every_order_of_words_is_the_same():
    assert all(is_chest(" ".join(order)) for order in permutations(["CHEST", "AP", "PORTABLE"]))
