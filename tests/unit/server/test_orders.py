import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsyn2.errors import ConfigError
from medsyn2.server.orders import MAX_SEEDS, MAX_TEXT, JobOrder, TextOrder, read_body

WORDS = st.text("a1/.\x00\n\u00e9\u2028\ud800", max_size=5)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


def test_an_order_has_defaults_and_says_what_changes():
    order = read_body(JobOrder, b'{"kind": "generate", "seeds": [1, 2], "sampling": {"num_steps": 3}}')
    assert (order.seeds, order.mask, order.sampling.changes()) == ([1, 2], None, {"num_steps": 3})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "delete"},
        {"kind": "generate", "colour": 1},
        {"kind": "generate", "seeds": []},
        {"kind": "generate", "seeds": [-1]},
        {"kind": "generate", "seeds": [2**63]},
        {"kind": "generate", "seeds": [1.5]},
        {"kind": "generate", "seeds": ["1"]},
        {"kind": "generate", "seeds": [0] * (MAX_SEEDS + 1)},
        {"kind": "generate", "mask": "../../etc/passwd"},
        {"kind": "generate", "mask": "0" * 16 + "\n"},
        {"kind": "generate", "findings": "a" * (MAX_TEXT + 1)},
        {"kind": "generate", "sampling": {"num_steps": 10**9}},
        {"kind": "generate", "sampling": {"solver": "magic"}},
        {"kind": "generate", "sampling": {"guidance_mask": 1e300}},
        {"kind": "edit", "strength": 2},
        {"kind": "edit", "strength": float("nan")},
        [],
        None,
    ],
)
def test_another_body_is_refused_by_the_place_of_its_fault(body):
    with pytest.raises(ConfigError) as caught:
        read_body(JobOrder, json.dumps(body).encode())
    assert caught.value.code == "request-invalid"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b'{"findings": "\\ud800"}', b"NaN"])
def test_what_is_no_json_is_refused(content):
    with pytest.raises(ConfigError):
        read_body(TextOrder, content)


@given(st.dictionaries(st.sampled_from([*JobOrder.model_fields, "other"]), ANY, max_size=4))
def test_any_json_is_an_order_or_refused(body):
    try:
        order = read_body(JobOrder, json.dumps(body).encode("utf-8", "surrogatepass"))
    except ConfigError:
        return
    assert order.kind in ("generate", "edit")
