import pytest

from medsyn2.server.helper import Helper


@pytest.fixture
def helper(page, tiny_model):
    return Helper(tiny_model, page.session)


def test_an_answer_has_the_number_of_its_task(helper):
    found = helper.do({"task": 7, "name": "text", "arguments": {"findings": "", "impression": None, "words": None}})
    assert (found["task"], found["answer"]["tokens"]) == (7, 0)


@pytest.mark.parametrize(
    ("task", "code"),
    [
        ({"name": "write_mask", "arguments": {"identifier": "0" * 16, "kind": "mha"}}, "id-unknown"),
        ({"name": "take", "arguments": {"identifier": "x"}}, "id-unknown"),
        ({"name": "nothing", "arguments": {}}, "page-failed"),
        ({"name": "text", "arguments": {"colour": 1}}, "page-failed"),
    ],
)
def test_whatever_fails_is_an_answer(helper, task, code):
    found = helper.do({"task": 1, **task})
    assert found["error"]["code"] == code
    assert "Traceback" not in found["error"]["message"]
