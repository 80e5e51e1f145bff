import json

import pytest
import torch

from medsyn2.config import EncodeTextConfig, TrainTextEncoderConfig
from medsyn2.errors import ConfigError
from medsyn2.nn.text_encoder import TextEncoder
from medsyn2.reports.prompts import absent_prompt, all_prompts, prompt_id
from medsyn2.stages.encode_prompts import encode_prompts
from medsyn2.store.text_embeddings import read_text
from medsyn2.training.text_encoder import train_encoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    sizes = {"vocabulary_size": 300, "hidden_size": 16, "num_layers": 1, "num_steps": 0, "max_tokens": 64}
    train_encoder(list(all_prompts().values()), TrainTextEncoderConfig(**sizes))[0].save(folder)
    return folder


def test_every_prompt_is_stored_under_its_id_and_described(encoder, tmp_path):
    prompts = tmp_path / "prompts.json"
    encode_prompts(EncodeTextConfig(), encoder=encoder, prompts=prompts, settings="{}")
    described = json.loads(prompts.read_text("utf-8"))
    assert {name: entry["text"] for name, entry in described["prompts"].items()} == all_prompts()
    stored = read_text(prompts.with_suffix(".zarr.zip"), prompt_id(None))
    absent = TextEncoder.from_folder(encoder).encode([absent_prompt()], 32)
    expected = absent.embeddings[0, : absent.lengths[0]].half().float()
    assert torch.equal(torch.from_numpy(stored), expected)
    assert described["prompts"][prompt_id(None)]["num_tokens"] == len(expected)


def test_padded_prompts_are_of_one_length_and_said_to_be(encoder, tmp_path):
    prompts = tmp_path / "prompts.json"
    encode_prompts(EncodeTextConfig(padded=True), encoder=encoder, prompts=prompts, settings="{}")
    described = json.loads(prompts.read_text("utf-8"))
    assert described["padded"]
    assert max(entry["num_tokens"] for entry in described["prompts"].values()) < 32
    expected = TextEncoder.from_folder(encoder).encode_padded([absent_prompt()], 32).embeddings[0].half().float()
    stored = [read_text(prompts.with_suffix(".zarr.zip"), name) for name in all_prompts()]
    assert {len(text) for text in stored} == {32}
    assert torch.equal(torch.from_numpy(read_text(prompts.with_suffix(".zarr.zip"), prompt_id(None))), expected)


def test_a_second_run_gives_the_same_bytes(encoder, tmp_path):
    contents = []
    for _ in range(2):
        encode_prompts(EncodeTextConfig(), encoder=encoder, prompts=tmp_path / "prompts.json", settings="{}")
        contents.append({path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()})
    assert contents[0] == contents[1]


def test_prompts_that_do_not_fit_stop_the_run(encoder, tmp_path):
    with pytest.raises(ConfigError, match="max_prompt_tokens = 5"):
        encode_prompts(
            EncodeTextConfig(max_prompt_tokens=5), encoder=encoder, prompts=tmp_path / "prompts.json", settings="{}"
        )
