"""Real tokens of padded texts."""

import pytest
import torch

from medsyn2.nn.transformer.conditioning import Conditioning, real_tokens


def compound(*lengths: tuple[int, int], prompt: int = 4, report: int = 8):
    """Texts of a pre-prompt and a report, each padded on its own with junk."""
    text = torch.randn(len(lengths), prompt + report, 3)
    place = torch.arange(prompt + report)
    mask = torch.stack([(place < p) | ((place >= prompt) & (place < prompt + r)) for p, r in lengths])
    return text, mask


def test_texts_of_one_length_are_sliced_and_need_no_mask():
    text, mask = compound((2, 5), (3, 4))
    real, real_mask = real_tokens(text, mask)
    assert real_mask is None
    assert torch.equal(real[0], text[0, mask[0]])
    assert torch.equal(real[1], text[1, mask[1]])


def test_texts_of_different_lengths_are_padded_to_the_longest():
    text, mask = compound((2, 5), (3, 0))
    real, real_mask = real_tokens(text, mask)
    assert real.shape == (2, 7, 3)
    assert real_mask.sum(1).tolist() == [7, 3]
    assert torch.equal(real[1, :3], text[1, mask[1]])


def test_a_masked_length_of_64_modulo_128_is_avoided():
    text, mask = compound((4, 60), (4, 0), report=100)
    real, real_mask = real_tokens(text, mask)
    assert real.shape[1] == real_mask.shape[1] == 65
    assert real_mask.sum(1).tolist() == [64, 4]


def test_a_text_without_tokens_is_refused():
    with pytest.raises(ValueError, match="no real token"):
        real_tokens(*compound((2, 1), (0, 0)))


def test_binding_gives_a_function_of_latents_and_time():
    conditioning = Conditioning(torch.ones(1, 2, 1, 1, 1), *compound((2, 1)))
    predict = conditioning.bind(lambda z, t, mask_latents, text, text_mask: z * t + mask_latents)
    latents = torch.full((1, 2, 1, 1, 1), 3.0)
    assert torch.equal(predict(latents, torch.tensor([2.0])), torch.full((1, 2, 1, 1, 1), 7.0))
