import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from medsyn2.errors import ConfigError, WeightsError
from medsyn2.nn.text_encoder import TextEncoder

WORDS = ["lung", "no", "##dule", "##s", "effusion", "pleural", "heart", ".", ",", "is", "in", "the", "right", "e"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
TEXTS = [
    "",
    "lung",
    "nodules in the right lung.",
    "the heart is . [SEP] no effusion",
    "NODULES, Pleural Effusion",
    "é è naïve",
    "akciğer nodülü İstanbul",
    "胸部 CT 検査",
    "🫁 lung",
    "lung " * 600,
    "right " * 61,
    "right " * 62,
    "right " * 63,
    "\ttab\nnewline",
    "x" * 300,
    "[MASK] [PAD] [CLS]",
    "effusion," * 40,
    "the lung is the lung.",
    "5 mm",
    "heart",
]
MAX_TOKENS = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A randomly initialised BERT in the format that transformers itself writes."""
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=MAX_TOKENS,
    )
    BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}', encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def encoder(folder):
    return TextEncoder.from_folder(folder)


def copy_of(folder, target, **changes):
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(changes.get(file.stem, file.read_bytes()))
    return target


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_embeddings_equal_those_of_a_padded_batch_through_transformers_itself(folder, encoder, text):
    from transformers import BertModel, BertTokenizer

    tokens = BertTokenizer.from_pretrained(folder, local_files_only=True)(
        [text], padding="max_length", truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
    )
    with torch.no_grad():
        expected = BertModel.from_pretrained(folder).eval()(**tokens).last_hidden_state
    length = int(tokens["attention_mask"].sum())
    encoded = encoder.encode([text], MAX_TOKENS)
    assert encoded.lengths.tolist() == [length]
    torch.testing.assert_close(encoded.embeddings[0, :length], expected[0, :length], atol=1e-5, rtol=0)
    assert not encoded.embeddings[0, length:].any()


def test_a_text_is_encoded_alike_whatever_stands_beside_it_and_however_it_is_padded(encoder):
    together = encoder.encode(TEXTS, MAX_TOKENS)
    for row, text in enumerate(TEXTS):
        alone = encoder.encode([text], MAX_TOKENS)
        assert torch.equal(alone.embeddings[0], together.embeddings[row])
    short, long = encoder.encode(TEXTS[1:3], 12), encoder.encode(TEXTS[1:3], 40)
    assert torch.equal(short.embeddings, long.embeddings[:, :12])


def test_the_end_that_does_not_fit_is_named(encoder):
    encoded = encoder.encode(["the lung is the heart, right", "lung"], 6)
    assert encoded.cut == ("heart, right", "")
    assert encoded.num_cut == (3, 0)
    assert encoded.lengths.tolist() == [6, 3]


def test_unknown_tokens_are_counted(encoder):
    assert encoder.encode(["lung 🫁 qqq heart", ""], 16).unknown == (2, 0)


def test_the_separator_between_two_parts_is_one_token(encoder):
    assert encoder.encode([f"lung {encoder.separator} heart"], 16).lengths.tolist() == [5]


@pytest.mark.parametrize("max_tokens", [2, MAX_TOKENS + 1])
def test_lengths_without_positions_or_words_are_refused(encoder, max_tokens):
    with pytest.raises(ConfigError, match=str(MAX_TOKENS)):
        encoder.encode(["lung"], max_tokens)


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "model.safetensors"])
def test_a_missing_file_is_named(folder, tmp_path, name):
    copy = copy_of(folder, tmp_path / "copy")
    (copy / name).unlink()
    with pytest.raises(WeightsError, match=name):
        TextEncoder.from_folder(copy)


@pytest.mark.parametrize(
    ("stem", "content"), [("model", b"not weights"), ("config", b"[1]"), ("vocab", b"lung\n"), ("vocab", b"\xff\xfe")]
)
def test_damaged_files_are_named_errors(folder, tmp_path, stem, content):
    with pytest.raises(WeightsError):
        TextEncoder.from_folder(copy_of(folder, tmp_path / "copy", **{stem: content}))


def test_a_vocabulary_longer_than_the_weights_is_refused(folder, tmp_path):
    longer = "\n".join([*VOCABULARY, "tumour"]).encode()
    with pytest.raises(WeightsError, match=r"has 20 tokens, but .* for 19"):
        TextEncoder.from_folder(copy_of(folder, tmp_path / "copy", vocab=longer))


def cxr_bert_like(folder, target):
    """The same weights as in CXR-BERT's file: a prefix, two heads, more positions than the config says."""
    from transformers import BertConfig, BertForMaskedLM

    copy_of(folder, target)
    weights = load_file(folder / "model.safetensors")
    positions = weights["embeddings.position_embeddings.weight"]
    whole = BertForMaskedLM(BertConfig.from_pretrained(folder)).state_dict()
    heads = {name: tensor.clone() for name, tensor in whole.items() if name.startswith("cls.")}
    heads |= {"cls_projection_head.dense_to_hidden.weight": torch.zeros(4, 16)}
    weights["embeddings.position_embeddings.weight"] = torch.cat([positions, torch.zeros(32, 16)])
    prefixed = {f"bert.{name}": tensor.contiguous() for name, tensor in weights.items()}
    save_file(prefixed | heads, target / "model.safetensors")
    values = json.loads((folder / "config.json").read_text("utf-8"))
    values |= {"model_type": "cxr-bert", "auto_map": {"AutoModel": "code.py"}, "projection_size": 4}
    (target / "config.json").write_text(json.dumps(values), encoding="utf-8")
    return target


def test_a_prefix_known_heads_and_enlarged_positions_load(folder, encoder, tmp_path):
    enlarged = TextEncoder.from_folder(cxr_bert_like(folder, tmp_path / "cxr"))
    assert enlarged.max_tokens == MAX_TOKENS + 32
    assert torch.equal(enlarged.encode(TEXTS, MAX_TOKENS).embeddings, encoder.encode(TEXTS, MAX_TOKENS).embeddings)


def test_a_stranger_or_a_missing_tensor_is_refused(folder, tmp_path):
    weights = load_file(folder / "model.safetensors")
    for name, changed in {
        "stranger": weights | {"decoder.weight": torch.zeros(1)},
        "missing": {key: value for key, value in weights.items() if "layer.1.output" not in key},
    }.items():
        copy = copy_of(folder, tmp_path / name)
        save_file(changed, copy / "model.safetensors")
        with pytest.raises(WeightsError, match=r"decoder.weight|layer.1.output"):
            TextEncoder.from_folder(copy)


def test_loading_leaves_the_random_state_alone(folder):
    before = torch.get_rng_state()
    TextEncoder.from_folder(folder)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_padded_texts_are_the_first_vectors_of_a_text_read_whole(folder, encoder, text):
    from transformers import BertModel, BertTokenizer

    tokens = BertTokenizer.from_pretrained(folder, local_files_only=True)(
        [text], padding="max_length", truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
    )
    with torch.no_grad():
        expected = BertModel.from_pretrained(folder).eval()(**tokens).last_hidden_state
    encoded = encoder.encode_padded([text], 12)
    torch.testing.assert_close(encoded.embeddings, expected[:, :12], atol=1e-5, rtol=0)
    assert encoded.lengths.tolist() == [min(12, int(tokens["attention_mask"].sum()))]


def test_what_of_a_padded_text_is_cut_is_named(encoder):
    texts = ["lung " * 10, "lung " * 11, "lung " * 11 + "heart right", ""]
    encoded = encoder.encode_padded(texts, 12)
    assert encoded.cut == ("", "", "heart right", "")
    assert encoded.num_cut == (0, 0, 2, 0)
    assert encoded.lengths.tolist() == [12, 12, 12, 2]
    with pytest.raises(ConfigError):
        encoder.encode_padded([""], MAX_TOKENS + 1)


def test_each_vector_has_its_token(encoder):
    words = encoder.words("nodules in the right lung.", MAX_TOKENS)
    assert words == ["[CLS]", "no", "##dule", "##s", "in", "the", "right", "lung", ".", "[SEP]"]
    assert len(words) == encoder.encode(["nodules in the right lung."], MAX_TOKENS).lengths[0]
    assert encoder.words("lung " * 600, 5) == ["[CLS]", "lung", "lung", "lung", "[SEP]"]
