import logging
import subprocess
import sys
from dataclasses import replace
from math import sqrt

import pytest
import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend

from medsyn2.nn import attention
from medsyn2.nn.attention import FEWEST_KEYS, MOST_SCORES, Call, attend, choose
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.machine import Machine
from medsyn2.nn.transformer.dit import DiT

CUDNN, FLASH = SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION
EFFICIENT, MATH = SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH
HOPPER = Machine("cuda", (2, 13), (9, 0), 92000, name="described")
AMPERE = replace(HOPPER, capability=(8, 0))
PAPER = Call(72, torch.bfloat16, large=True)


@pytest.mark.parametrize(
    ("machine", "call", "expected"),
    [
        (Machine("cpu", (2, 13)), replace(PAPER, dtype=torch.float32), (FLASH,)),
        (Machine("cpu", (2, 13)), Call(72, torch.float32), (FLASH, MATH)),
        (Machine("mps", (2, 13)), PAPER, None),
        (HOPPER, PAPER, (CUDNN, FLASH, EFFICIENT)),
        (HOPPER, Call(128, torch.float16), (CUDNN, FLASH, EFFICIENT, MATH)),
        (HOPPER, replace(PAPER, masked=True), (CUDNN, EFFICIENT)),
        (HOPPER, replace(PAPER, masked=True, half_tile=True), (EFFICIENT,)),
        (HOPPER, replace(PAPER, half_tile=True), (CUDNN, FLASH, EFFICIENT)),
        (HOPPER, replace(PAPER, head_width=24), (FLASH, EFFICIENT)),
        (HOPPER, replace(PAPER, head_width=100), (FLASH, EFFICIENT)),
        (HOPPER, replace(PAPER, head_width=512), (EFFICIENT,)),
        (HOPPER, replace(PAPER, dtype=torch.float32), (EFFICIENT,)),
        (HOPPER, replace(PAPER, dtype=torch.float64), (MATH,)),
        (replace(HOPPER, deterministic=True), PAPER, (FLASH, EFFICIENT)),
        (replace(HOPPER, torch_version=(2, 10)), PAPER, (FLASH, EFFICIENT)),
        (replace(HOPPER, cudnn_version=91500), PAPER, (FLASH, EFFICIENT)),
        (replace(HOPPER, cudnn_version=0), PAPER, (FLASH, EFFICIENT)),
        (replace(HOPPER, capability=(12, 0)), PAPER, (FLASH, EFFICIENT)),
        (AMPERE, PAPER, (FLASH, EFFICIENT)),
        (AMPERE, replace(PAPER, masked=True), (EFFICIENT,)),
        (replace(HOPPER, capability=(7, 0)), PAPER, (EFFICIENT,)),
    ],
)
def test_the_kernels_of_described_devices(machine, call, expected):
    assert choose(machine, call).kernels == expected


def test_a_choice_says_why():
    assert "NaN" in choose(HOPPER, replace(PAPER, masked=True, half_tile=True)).reason
    assert "too old" in choose(replace(HOPPER, torch_version=(2, 9)), PAPER).reason


def formula(query, key, value, mask=None):
    scores = query @ key.transpose(-1, -2) / sqrt(query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(-1) @ value


@pytest.mark.parametrize("num_keys", [1, 64, 100, 192])
@pytest.mark.parametrize("masked", [False, True])
def test_equals_the_formula_with_its_gradients(num_keys, masked):
    torch.manual_seed(0)
    query = torch.randn(2, 3, 7, 24, dtype=torch.float64, requires_grad=True)
    key, value = (torch.randn(2, 3, num_keys, 24, dtype=torch.float64, requires_grad=True) for _ in "kv")
    mask = (torch.arange(num_keys) < torch.tensor([[num_keys], [1]]))[:, None, None, :] if masked else None
    found, expected = attend(query, key, value, mask), formula(query, key, value, mask)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        torch.autograd.grad(found.square().sum(), (query, key, value)),
        torch.autograd.grad(expected.square().sum(), (query, key, value)),
        rtol=0,
        atol=1e-11,
    )


def test_one_fused_kernel_computes_it_whatever_lies_contiguous():
    """The tokenizer's tokens lie channel after channel; the fused kernel would refuse them as they are."""
    x = torch.randn(2, 1, 8, 16).transpose(2, 3)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        attend(x, x, x)
        tokenizer = CausalVideoVAE(8, num_res_blocks=1, norm_groups=4)
        tokenizer.decode(torch.randn(1, 4, 2, 4, 4))
    names = [event.key for event in profile.key_averages()]
    assert "aten::_scaled_dot_product_flash_attention_for_cpu" in names
    assert "aten::_scaled_dot_product_attention_math" not in names


def test_the_plain_kernel_is_refused_where_its_scores_are_too_many(monkeypatch):
    x, key_only = torch.randn(1, 1, 40, 8), torch.randn(1, 1, 40, 8, requires_grad=True)
    monkeypatch.setattr(attention, "MOST_SCORES", 100)
    attend(x, key_only, x)
    monkeypatch.setattr(attention, "_FLASH", EFFICIENT)  # there is none for the CPU
    with pytest.raises(RuntimeError, match="No viable backend"):
        attend(x, key_only, x)
    assert MOST_SCORES * 4 == 2**30


@pytest.mark.parametrize("num_keys", [1, 170, FEWEST_KEYS])
def test_the_length_of_a_text_does_not_decide_about_the_plain_kernel(num_keys, monkeypatch):
    queries, keys = torch.randn(1, 2, 10, 8), torch.randn(1, 2, num_keys, 8)
    monkeypatch.setattr(attention, "_FLASH", EFFICIENT)  # there is none for the CPU
    monkeypatch.setattr(attention, "MOST_SCORES", 2 * 10 * FEWEST_KEYS)
    assert attend(queries, keys, keys).isfinite().all()
    monkeypatch.setattr(attention, "MOST_SCORES", 2 * 10 * FEWEST_KEYS - 1)
    with pytest.raises(RuntimeError, match="No viable backend"):
        attend(queries, keys, keys)


@pytest.mark.parametrize(("layout", "widths"), [("paper", [18]), ("official", [18, 6])])
def test_each_width_of_heads_is_logged_once(layout, widths, caplog):
    attention._log_once.cache_clear()
    network = DiT(latent_channels=4, text_width=12, width=36, depth=2, num_heads=2, patch=(2, 2, 2), layout=layout)
    latents = torch.randn(2, 4, 4, 4, 4)
    with caplog.at_level(logging.INFO, logger="medsyn2.nn.attention"):
        for num_tokens in (64, 5):
            network(latents, torch.rand(2), latents, torch.randn(2, num_tokens, 12))
    lines = [record.getMessage() for record in caplog.records]
    assert [int(line.split("heads of ")[1].split(",")[0]) for line in lines] == widths
    assert "FLASH_ATTENTION, MATH (it has one fused kernel)" in lines[0]


COMPILED = """
import torch
from medsyn2.nn.attention import attend

compiled = torch.compile(attend, backend="eager", fullgraph=True)
for num_keys in (64, 5, 9, 192, 11):
    q, k = torch.randn(1, 2, 7, 8), torch.randn(1, 2, num_keys, 8)
    for mask in (None, torch.arange(num_keys)[None, None, None] < 5):
        torch.testing.assert_close(compiled(q, k, k, mask), attend(q, k, k, mask))
graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
assert graphs <= 6, graphs
"""


def test_compiles_into_one_graph_however_long_the_text():
    """In a process of its own: the tests' checks of types at run time cannot be compiled."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_pytorchs_own_choice_is_left_as_it_was():
    before = torch._C._get_sdp_priority_order(), torch.backends.cuda.math_sdp_enabled()
    x = torch.randn(1, 1, 4, 8)
    torch.testing.assert_close(attend(x, x, x), F.scaled_dot_product_attention(x, x, x))
    assert (torch._C._get_sdp_priority_order(), torch.backends.cuda.math_sdp_enabled()) == before
