"""Random weights in the layouts that CXR-BERT is published in, against transformers' own networks."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from medsyn2.config import validate_config
from medsyn2.errors import WeightsError
from medsyn2.nn.text_encoder import TextEncoder, write_encoder
from medsyn2.weights.conversion.text_encoder import DROPPED, convert_encoder
from medsyn2.weights.needs import needs

WORDS = ["lung", "no", "##dule", "##s", "effusion", "pleural", "heart", ".", ",", "is", "in", "the", "right", "e"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
TEXTS = [
    "",
    " ",
    "lung",
    "nodules in the right lung.",
    "the heart is . [SEP] no effusion",
    "NODULES, Pleural Effusion",
    "é è naïve",
    "akciğer nodülü İstanbul",
    "胸部 CT 検査",
    "🫁 lung",
    "lung " * 600,
    "right " * 510,
    "right " * 511,
    "\ttab\nnewline",
    "x" * 300,
    "[MASK] [PAD] [CLS]",
    "effusion," * 40,
    "the lung is the lung.",
    "5 mm",
    "heart",
]
SIZES = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


def checkpoint(kind, positions=512):
    """A network with random weights and the tensors of one of the published forms."""
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(7)
    network = BertForMaskedLM(BertConfig(**SIZES, max_position_embeddings=positions)).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state["bert.embeddings.position_ids"] = torch.arange(512)[None]
    if kind != "general":
        for name, shape in {
            "dense_to_hidden.weight": (8, 16),
            "dense_to_hidden.bias": (8,),
            "LayerNorm.weight": (8,),
            "LayerNorm.bias": (8,),
            "dense_to_output.weight": (8, 8),
            "dense_to_output.bias": (8,),
        }.items():
            state[f"cls_projection_head.{name}"] = torch.randn(shape)
    if kind == "medsyn":
        state |= {"classifier.weight": torch.randn(2, 8), "classifier.bias": torch.randn(2)}
        state = {f"module.{name}": tensor for name, tensor in state.items()}
    return network.bert, state


def write_source(folder, state, config=True):
    folder.mkdir()
    torch.save(state, folder / "pytorch_model.bin")
    if config:
        published = {**SIZES, "max_position_embeddings": 512, "projection_size": 8, "model_type": "cxr-bert"}
        auto_map = {"AutoModel": "modeling_cxrbert.CXRBertModel"}
        (folder / "config.json").write_text(
            json.dumps({**published, "auto_map": auto_map, "architectures": ["CXRBertModel"]}), encoding="utf-8"
        )
        (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("kind", "positions"), [("specialized", 512), ("general", 512), ("medsyn", 2048)], ids=lambda value: value
)
def test_it_encodes_as_transformers_own_network_does(kind, positions, tmp_path):
    from transformers import BertModel, BertTokenizer

    network, state = checkpoint(kind, positions)
    base = write_source(tmp_path / "base", state)
    source = base
    if kind == "medsyn":
        source = write_source(tmp_path / "pretrained_lm", state, config=False)
    converted = convert_encoder(source, base)
    write_encoder(tmp_path / "out", **converted.files)
    encoder = TextEncoder.from_folder(tmp_path / "out")
    assert (encoder.max_tokens, encoder.separator, encoder.width) == (positions, "[SEP]", 16)
    tokenizer = BertTokenizer.from_pretrained(base, local_files_only=True)
    plain = BertModel.from_pretrained(tmp_path / "out").eval()
    assert len(TEXTS) == 20
    for text in TEXTS:
        tokens = tokenizer([text], padding="max_length", truncation=True, max_length=512, return_tensors="pt")
        length = int(tokens["attention_mask"].sum())
        with torch.no_grad():
            expected = network(**tokens).last_hidden_state[0, :length]
            again = plain(**tokens).last_hidden_state[0, :length]
        encoded = encoder.encode([text], 512)
        assert encoded.lengths.tolist() == [length]
        torch.testing.assert_close(encoded.embeddings[0, :length], expected, atol=1e-5, rtol=0)
        assert torch.equal(again, expected)


def test_what_is_left_out_is_listed_and_nothing_else_is(tmp_path):
    _, state = checkpoint("medsyn")
    names = {name.removeprefix("module.") for name in state}
    converted = convert_encoder(write_source(tmp_path / "source", state))
    assert set(converted.dropped) == {name for name in names if name in DROPPED}
    assert {f"bert.{name}" for name in converted.state} == names - set(converted.dropped)
    assert len(converted.dropped) == 7 + 6 + 2 + 1


def test_a_plain_bert_without_a_prefix_is_read_as_well(tmp_path):
    network, _ = checkpoint("general")
    pooler = {"pooler.dense.weight": torch.zeros(16, 16), "pooler.dense.bias": torch.zeros(16)}
    converted = convert_encoder(write_source(tmp_path / "source", {**network.state_dict(), **pooler}))
    assert converted.dropped == tuple(sorted(pooler))
    assert all(torch.equal(converted.state[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"bert.encoder.layer.1.output.dense.weight": None}, "1 missing: encoder.layer.1.output.dense.weight"),
        ({"bert.adapter.weight": torch.zeros(2)}, "1 unexpected: adapter.weight"),
        ({"cls_projection_head.extra.weight": torch.zeros(2)}, "cls_projection_head.extra.weight"),
        ({"bert.embeddings.LayerNorm.bias": torch.zeros(3)}, "embeddings.LayerNorm.bias (3,) instead of (16,)"),
        ({"bert.embeddings.position_embeddings.weight": torch.zeros(100, 16)}, "(100, 16) instead of (512, 16)"),
    ],
)
def test_any_other_difference_is_named(change, named, tmp_path):
    _, state = checkpoint("specialized")
    state = {name: tensor for name, tensor in (state | change).items() if tensor is not None}
    with pytest.raises(WeightsError) as caught:
        convert_encoder(write_source(tmp_path / "source", state))
    assert named in str(caught.value)


def test_weights_alone_ask_for_the_folder_they_were_made_from(tmp_path):
    _, state = checkpoint("medsyn", 2048)
    with pytest.raises(WeightsError, match=r"no config\.json and no vocab\.txt.*--base"):
        convert_encoder(write_source(tmp_path / "pretrained_lm", state, config=False))


def test_a_vocabulary_of_another_network_is_refused(tmp_path):
    _, state = checkpoint("general")
    source = write_source(tmp_path / "source", state)
    (source / "vocab.txt").write_text("\n".join([*VOCABULARY, "another"]) + "\n", encoding="utf-8")
    with pytest.raises(WeightsError, match=r"20 tokens.*embeddings for 19"):
        convert_encoder(source)


@pytest.mark.parametrize(
    "change", [{"model_type": "roberta"}, {"position_embedding_type": "relative_key"}, {"is_decoder": True}]
)
def test_another_kind_of_network_is_refused(change, tmp_path):
    _, state = checkpoint("general")
    source = write_source(tmp_path / "source", state)
    config = json.loads((source / "config.json").read_text("utf-8"))
    (source / "config.json").write_text(json.dumps(config | change), encoding="utf-8")
    with pytest.raises(WeightsError, match="text-encoder-layout"):
        convert_encoder(source)


def test_words_are_cut_as_the_source_says(tmp_path):
    _, state = checkpoint("general")
    source = write_source(tmp_path / "source", state)
    (source / "tokenizer_config.json").write_text(
        '{"do_lower_case": false, "tokenizer_class": "Remote"}', encoding="utf-8"
    )
    write_encoder(tmp_path / "out", **convert_encoder(source).files)
    settings = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text("utf-8"))
    assert settings == {"do_lower_case": False, "tokenizer_class": "BertTokenizer"}
    assert TextEncoder.from_folder(tmp_path / "out").encode(["LUNG lung"], 8).unknown == (1,)


def test_the_weights_are_those_that_the_configuration_records(tmp_path):
    _, state = checkpoint("general")
    write_encoder(tmp_path / "out", **convert_encoder(write_source(tmp_path / "source", state)).files)
    weights = tmp_path / "out" / "model.safetensors"
    config = validate_config({"encode_text": {"encoder_dir": str(weights.parent)}}, source="test")
    [need] = needs(config)
    assert [check.state for check in need.checks] == ["unverified", "unverified", "recorded"]
    tensors = load_file(weights)
    save_file({**tensors, "embeddings.LayerNorm.bias": tensors["embeddings.LayerNorm.bias"] + 1}, weights)
    with pytest.raises(WeightsError, match="weights-damaged"):
        TextEncoder.from_folder(tmp_path / "out")
    [need] = needs(config)
    assert need.checks[2].state == "damaged"
