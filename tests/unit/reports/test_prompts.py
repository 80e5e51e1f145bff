import pytest

from medsyn2.errors import MaskError
from medsyn2.reports.prompts import ABSENT_WORDINGS, MASK_WORDINGS, absent_prompt, all_prompts, mask_prompt, prompt_id
from medsyn2.vocabulary import STRUCTURE_WORDS, STRUCTURES


def test_the_forms_have_the_papers_numbers_of_wordings():
    assert len(set(MASK_WORDINGS)) == 5
    assert len(set(ABSENT_WORDINGS)) == 3


def test_the_first_wording_without_a_mask_is_the_papers_sentence():
    assert absent_prompt() == "no image segmentation is provided"


def test_all_prompts_are_distinct_and_name_their_structure():
    prompts = all_prompts()
    assert len(prompts) == len(set(prompts.values())) == 5 * len(STRUCTURES) + 3
    for structure in STRUCTURES:
        for wording in range(5):
            assert STRUCTURE_WORDS[structure] in prompts[prompt_id(structure, wording)]
    assert prompts[prompt_id(None)] == absent_prompt()


def test_words_are_cleaned_and_may_be_any():
    assert mask_prompt("  kidney\nstone ") == MASK_WORDINGS[0].format(words="kidney stone")
    assert mask_prompt("{braces}") == MASK_WORDINGS[0].format(words="{braces}")


@pytest.mark.parametrize("words", ["", "  ", "Not given."])
def test_words_that_say_nothing_are_refused_with_the_known_ones(words):
    with pytest.raises(MaskError, match="lung nodules"):
        mask_prompt(words)
