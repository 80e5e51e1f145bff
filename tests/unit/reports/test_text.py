import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsyn2.reports.text import clean_text, compose_report, text_or_none


def test_findings_come_before_the_impression_with_the_separator_between():
    assert compose_report("Nodule.", "Follow up.", "[SEP]") == "Nodule. [SEP] Follow up."


@pytest.mark.parametrize("absent", [None, "", "  \n", "Not given.", "not given", "NOT GIVEN .", "nan", "\ufeff\x00"])
def test_an_absent_part_leaves_no_separator(absent):
    assert compose_report(absent, "Follow up.", "[SEP]") == "Follow up."
    assert compose_report("Nodule.", absent, "[SEP]") == "Nodule."
    assert compose_report(absent, absent, "[SEP]") is None


def test_a_sentence_that_contains_not_given_is_kept():
    assert text_or_none("Contrast was not given.") == "Contrast was not given."


def test_mixed_line_ends_and_invisible_characters_become_single_spaces():
    assert clean_text("\ufeffa\r\nb\rc\n\n d\u00a0e\u200bf\x00g\t h\u2028i") == "a b c d efg h i"


def test_compatibility_forms_are_composed():
    assert clean_text("e\u200b\u0301") == "é"
    assert clean_text("ﬁbrosis ５ ｍｍ e\u0301") == "fibrosis 5 mm é"


@given(st.text())
def test_cleaning_is_idempotent_and_leaves_no_control_character(text):
    cleaned = clean_text(text)
    assert clean_text(cleaned) == cleaned
    assert not any(unicodedata.category(character).startswith("C") for character in cleaned)
