"""A model's folder is written from its parts."""

import numpy as np
import torch

from medsyn2.nn.text_encoder import TextEncoder
from medsyn2.pipeline import MedSyn2Pipeline
from medsyn2.pipeline.saving import save_parts
from medsyn2.pipeline.texts import ABSENT
from medsyn2.weights.model_folder import PROMPTS, read_description


def test_the_files_of_a_loaded_model_are_written_byte_by_byte(tiny_model, tmp_path):
    MedSyn2Pipeline.from_pretrained(tiny_model).save_pretrained(tmp_path / "model")
    assert read_description(tmp_path / "model") == read_description(tiny_model)


def test_prompts_of_its_own_are_kept(tiny_model, tmp_path):
    loaded = MedSyn2Pipeline.from_pretrained(tiny_model)
    prompts = {ABSENT: torch.full((3, 16), 0.5)}
    parts = (loaded.dit, loaded.tokenizer, loaded.text_encoder, prompts, loaded.description)
    save_parts(tmp_path / "model", *parts)
    assert PROMPTS in read_description(tmp_path / "model").files
    again = MedSyn2Pipeline.from_pretrained(tmp_path / "model")
    assert torch.equal(again.texts.prompts[ABSENT], prompts[ABSENT])
    assert again.description.fingerprint != loaded.description.fingerprint


def test_a_text_encoder_reads_as_before(tiny_model, tmp_path):
    encoder = TextEncoder.from_folder(tiny_model / "text_encoder")
    encoder.save(tmp_path / "encoder")
    again = TextEncoder.from_folder(tmp_path / "encoder")
    words = ["Large pleural effusion."]
    np.testing.assert_array_equal(encoder.encode(words, 16).embeddings, again.encode(words, 16).embeddings)
