import pytest


@pytest.fixture
def describe(page):
    return lambda **order: page.post("/api/text", **order).json()


def test_tokens_are_counted_as_the_encoder_takes_them(page, describe):
    found = describe(findings="A nodule of 5 mm.", impression="Large pleural effusion.")
    encoder = page.pipeline.text_encoder
    assert found["report"] == "A nodule of 5 mm. [SEP] Large pleural effusion."
    assert found["tokens"] == len(encoder.words(found["report"], encoder.max_tokens))
    assert (found["max_tokens"], found["cut"]) == (48, "")


def test_what_is_cut_is_what_the_encoder_cuts(page, describe):
    text = " ".join(f"A nodule of {number} mm in the right upper lobe." for number in range(1, 9))
    found = describe(findings=text)
    assert found["cut"] == page.pipeline.text_encoder.encode([text], 48).cut[0]
    assert found["tokens"] > 48
    assert text.endswith(found["cut"])


def test_unknown_words_and_words_in_pieces_are_named(describe):
    found = describe(findings="A nodule \u2603\u4f60 hippopotamus.")
    assert found["unknown"] == ["\u4f60"]
    assert found["split"] == ["hippopotamus"]
    assert describe(findings="Der Knoten wurde im rechten Oberlappen gesehen, keine Ergussbildung.")["notes"]


@pytest.mark.parametrize(
    ("words", "prompt", "has_note"),
    [
        (None, "no image segmentation is provided", False),
        ("  ", "no image segmentation is provided", False),
        ("heart", "image segmentation of heart is provided", False),
        ("consolidation", "image segmentation of consolidation is provided", True),
        ("a foreign body", "image segmentation of a foreign body is provided", True),
    ],
)
def test_the_pre_prompt_is_shown(describe, words, prompt, has_note):
    found = describe(words=words)
    assert (found["prompt"], bool(found["notes"]), found["tokens"]) == (prompt, has_note, 0)
