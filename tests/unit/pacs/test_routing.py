"""Routing: the first matching rule decides, and the explanation agrees with the decision."""

import warnings
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread

from app.imaging.dicom.file import silence
from app.pacs.configuration import Conditions, Rule
from app.pacs.routing import Decision, Facts, decide, facts_of, judge
from tests.factories import chest_dataset, example, write_dicom

FACTS = Facts("DX", "CHEST", ("THORAX PA", "Schädel/Thorax"), "MODALITY1")


def rule(name: str = "only", **when) -> Rule:
    return Rule.model_validate({"name": name, "when": when, "outputs": ["sr", "sc"], "target": "archive"})


@pytest.mark.parametrize(
    ("when", "fits"),
    [
        ({}, True),
        ({"modality": "DX"}, True),
        ({"modality": "dx"}, True),
        ({"modality": ["CR", "D?"]}, True),
        ({"modality": "CR"}, False),
        ({"body_part": ["", "CHEST"]}, True),
        ({"body_part": ""}, False),
        ({"description": "thorax*"}, True),
        ({"description": "*SCHÄDEL*"}, True),
        ({"description": "thorax"}, False),
        ({"source_ae": "MODALITY*"}, True),
        ({"source_ae": "modality1"}, False),
        ({"modality": "DX", "body_part": "HAND"}, False),
    ],
)
def test_conditions(when, fits):
    assert (decide([rule(**when)], FACTS) is not None) is fits


def test_a_missing_attribute_is_the_empty_string():
    nothing = Facts("", "", ("",), "")
    for name in ("modality", "body_part", "description", "source_ae"):
        assert decide([rule(**{name: ""})], nothing)
        assert decide([rule(**{name: "*"})], nothing)
        assert not decide([rule(**{name: "?*"})], nothing)


def test_the_first_matching_rule_decides():
    rules = [rule("hands", body_part="HAND"), rule("chests", body_part="CHEST"), rule("all")]
    assert decide(rules, FACTS) == Decision("chests", None, ("sr", "sc"), "archive")


def test_without_a_rule_there_is_no_decision():
    assert decide([], FACTS) is None


def test_every_failed_condition_is_explained_with_the_found_values():
    (judgement,) = judge([rule(modality=["CR", "DR"], description="*pa*", source_ae="X")], FACTS)
    assert not judgement.fits
    assert [(miss.condition, miss.patterns, miss.found) for miss in judgement.misses] == [
        ("modality", ("CR", "DR"), ("DX",)),
        ("source_ae", ("X",), ("MODALITY1",)),
    ]


WORDS = st.sampled_from(["", "CR", "DX", "chest", "CHEST", "C*", "?", "[A-D]X", "*"])
PATTERNS = st.none() | st.lists(WORDS, min_size=1, max_size=3).map(tuple)
RULES = st.builds(
    lambda index, *conditions: Rule(
        name=f"r{index}",
        when=Conditions(**dict(zip(Conditions.model_fields, conditions, strict=True))),
        outputs=("sr",),
        target="t",
    ),
    st.integers(0, 99), PATTERNS, PATTERNS, PATTERNS, PATTERNS,
)  # fmt: skip
FOUND = st.builds(Facts, WORDS, WORDS, st.lists(WORDS, min_size=1, max_size=2).map(tuple), WORDS)


@given(st.lists(RULES, max_size=5), FOUND)
def test_the_decision_is_the_first_rule_without_a_miss(rules, facts):
    fitting = [judgement.rule.name for judgement in judge(rules, facts) if not judgement.misses]
    decision = decide(rules, facts)
    assert (decision.rule if decision else None) == (fitting[0] if fitting else None)


@given(RULES, FOUND, st.sampled_from(list(Conditions.model_fields)))
def test_removing_a_condition_never_excludes_an_image(rule, facts, name):
    looser = rule.model_copy(update={"when": rule.when.model_copy(update={name: None})})
    assert decide([looser], facts) or not decide([rule], facts)


@given(st.lists(RULES, max_size=4), st.lists(RULES, max_size=4), FOUND)
def test_appended_rules_change_no_decision(rules, more, facts):
    decision = decide(rules, facts)
    assert decision is None or decide(rules + more, facts) == decision


def test_the_facts_of_a_real_radiograph():
    dataset = dcmread(BytesIO(example("RG1_UNCR.dcm")), stop_before_pixels=True)
    assert facts_of(dataset, "MODALITY1 ") == Facts("CR", "CHEST", ("THORAX",), "MODALITY1")


def test_a_missing_modality_follows_from_the_sop_class():
    assert facts_of(chest_dataset(Modality=None), "X").modality == "DX"


@pytest.mark.parametrize(
    ("character_set", "text"),
    [
        ("ISO_IR 192", "Röntgen 胸部"), ("ISO_IR 100", "Röntgen Thorax"), ("GB18030", "胸部正位"),
        (["", "ISO 2022 IR 87"], "胸部"),
    ],
)  # fmt: skip
def test_descriptions_are_decoded_by_their_character_set(character_set, text):
    dataset = chest_dataset(SpecificCharacterSet=character_set, StudyDescription=text)
    read = dcmread(BytesIO(write_dicom(dataset)))
    facts = facts_of(read, "X")
    assert facts.descriptions == (text,)
    assert decide([rule(description=f"*{text[1:]}")], facts)


def test_unusual_values_cause_neither_errors_nor_warnings():
    dataset = chest_dataset(StudyDescription="a\\b", BodyPartExamined=["CHEST", "X"])
    odd = write_dicom(dataset).replace(b"CS\x08\0CHEST\\X ", b"CS\x08\0CH\xc4ST\\X ")
    with silence():
        read = dcmread(BytesIO(odd))
        read.SpecificCharacterSet = "ISO_IR 999"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        facts = facts_of(read, "")
    assert facts.body_part == "CHÄST"
