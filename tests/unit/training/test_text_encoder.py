import subprocess
import sys

import pytest
import torch

from medsyn2.config import TrainTextEncoderConfig
from medsyn2.errors import ConfigError
from medsyn2.nn.text_encoder import TextEncoder
from medsyn2.reports.prompts import all_prompts
from medsyn2.training.text_encoder import SPECIAL_TOKENS, mask_tokens, train_encoder, train_vocabulary

PLACES = ["right upper", "right lower", "left upper", "left lower"]
REPORTS = [f"A nodule of {size} mm in the {place} lobe. [SEP] Nodule." for size in (4, 7, 12) for place in PLACES]
TEXTS = [*REPORTS, *all_prompts().values()]
TINY = TrainTextEncoderConfig(
    vocabulary_size=300, hidden_size=16, num_layers=1, num_heads=2, num_steps=4, max_tokens=64, window_tokens=16
)


def test_the_vocabulary_starts_with_the_special_tokens_and_has_no_duplicates():
    vocabulary = train_vocabulary(TEXTS, 300)
    assert vocabulary[:5] == SPECIAL_TOKENS
    assert len(vocabulary) == len(set(vocabulary)) <= 300
    assert {"segmentation", "nodule", "is"} <= set(vocabulary)


def test_the_vocabulary_is_the_same_in_every_process():
    code = (
        "from medsyn2.training.text_encoder import train_vocabulary;"
        "from medsyn2.reports.prompts import all_prompts;"
        "print('|'.join(train_vocabulary(list(all_prompts().values()), 200)))"
    )
    runs = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True).stdout
        for _ in range(2)
    }
    assert len(runs) == 1


def test_any_english_word_can_be_spelled_even_if_no_report_has_its_letters(tmp_path):
    train_encoder(list(all_prompts().values()), TINY)[0].save(tmp_path)
    encoded = TextEncoder.from_folder(tmp_path).encode(["Zygomatic quartz, 12.5 x 30 mm (T7)!"], 64)
    assert encoded.unknown == (0,)


def test_a_vocabulary_without_room_is_refused():
    with pytest.raises(ConfigError, match="vocabulary_size"):
        train_vocabulary(TEXTS, 6)


def test_the_same_texts_and_seed_give_the_same_bytes_and_another_seed_others(tmp_path):
    for name, config in {"one": TINY, "two": TINY, "other": TINY.model_copy(update={"seed": 1})}.items():
        train_encoder(TEXTS, config)[0].save(tmp_path / name)
    contents = {
        name: {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("one", "two", "other")
    }
    assert contents["one"] == contents["two"]
    assert contents["one"]["model.safetensors"] != contents["other"]["model.safetensors"]


def test_training_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    train_encoder(TEXTS, TINY)
    assert torch.equal(before, torch.get_rng_state())


def test_every_prompt_fits_into_thirty_two_tokens_with_room(tmp_path):
    train_encoder(TEXTS, TINY)[0].save(tmp_path)
    encoded = TextEncoder.from_folder(tmp_path).encode(list(all_prompts().values()), 32)
    assert encoded.cut == ("",) * len(all_prompts())


def test_training_learns_which_words_belong_together():
    config = TINY.model_copy(update={"num_steps": 150, "learning_rate": 3e-3})
    losses = train_encoder(TEXTS, config)[1]
    assert sum(losses[-20:]) < 0.7 * sum(losses[:20])


def test_masking_asks_for_a_share_of_the_words_and_never_for_special_tokens():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(5, 300, (200, 100), generator=generator)
    tokens[:, 0], tokens[:, 60], tokens[:, 90:] = 2, 3, 0
    hidden, targets = mask_tokens(tokens, 300, generator)
    asked = targets != -100
    special = tokens < 5
    assert not asked[special].any()
    assert torch.equal(hidden[~asked], tokens[~asked])
    assert torch.equal(targets[asked], tokens[asked])
    assert asked[~special].float().mean().item() == pytest.approx(0.15, abs=0.01)
    assert (hidden[asked] == 4).float().mean().item() == pytest.approx(0.8, abs=0.03)
    assert (hidden[asked] == tokens[asked]).float().mean().item() == pytest.approx(0.1, abs=0.02)


def test_masking_asks_for_at_least_one_word():
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        assert (mask_tokens(torch.tensor([[2, 9, 3]]), 20, generator)[1] != -100).sum() == 1
