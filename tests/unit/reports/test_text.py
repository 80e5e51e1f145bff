import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsyn2.reports.text import clean_text, compose_report, text_or_none, words_of_report


def test_findings_come_before_the_impression_with_the_separator_between():
    assert compose_report("Nodule.", "Follow up.", "[SEP]") == "Nodule. [SEP] Follow up."


@pytest.mark.parametrize("absent", [None, "", "  \n", "Not given.", "not given", "NOT GIVEN .", "nan", "\ufeff\x00"])
def test_an_absent_part_leaves_no_separator(absent):
    assert compose_report(absent, "Follow up.", "[SEP]") == "Follow up."
    assert compose_report("Nodule.", absent, "[SEP]") == "Nodule."
    assert compose_report(absent, absent, "[SEP]") is None


NOTHING = (
    "#N/A #NAME? #VALUE! <NA> NA N/A n.a. null NULL (null) - -- \u2014 . ? None. nil NaT 0 1.0 2021-04-27 [] _x000D_"
)


@pytest.mark.parametrize("cell", [*NOTHING.split(), r"\N", r"\n", "&nbsp;", "Not available", "No report."])
def test_what_is_no_report_is_absent(cell):
    assert text_or_none(cell) is None


@pytest.mark.parametrize("cell", ["Normal", "No.", "nan nodule", "NA level", "Nodül yok", "\u6b63\u5e38"])
def test_short_reports_are_reports(cell):
    assert text_or_none(cell) == cell


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("a_x000D_\nb", "a b"),
        ("&lt; 5 mm &amp; &gt;3", "< 5 mm & >3"),
        ("&amp;lt; 5 mm", "< 5 mm"),
        ("5&#160;mm &#x3c; x", "5 mm < x"),
        (r"a\nb\r\nc\td", "a b c d"),
        ("a<br>b<br/>c</p>d", "a b c d"),
        ("A&B, R&D; p<br0ken", "A&B, R&D; p<br0ken"),
        ("AkciÄŸer dokusu, Ã¶dem â€œyokâ€\x9d", "Akciğer dokusu, ödem “yok”"),
        ("Akciğer, ödem", "Akciğer, ödem"),
        ("naïve Â± é", "naïve Â± é"),
    ],
)
def test_escapes_are_undone_where_that_is_certain(cell, text):
    assert clean_text(cell) == text


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


def test_reports_are_the_same_by_their_words_alone():
    words = ("no", "nodule", "normal")
    for text in (
        "No nodule. [SEP] Normal.",
        "NO\nnodule; normal",
        "No&#160;nodule.<br>normal",
        "No nodule [sep] normal",
    ):
        assert words_of_report(text) == words
    assert words_of_report("Not given.") == words_of_report("") == ()
