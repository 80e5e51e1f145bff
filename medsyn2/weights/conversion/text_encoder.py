"""CXR-BERT in its published forms, converted to a plain BERT without heads.

All are masked language models with the encoder under the prefix ``bert.`` and with unused heads:

    Microsoft, specialized   ``cls.predictions.*``, ``cls_projection_head.*``; 512 positions
    Microsoft, general       ``cls.predictions.*``; 512 positions
    MedSyn                   Microsoft's, with ``classifier.*``; positions enlarged to 2,048, which no configuration
                             mentions, so the weights decide

`DROPPED` names every tensor that may be left out. All others must be exactly the encoder's: a missing or unexpected
tensor, or one of another shape, is named.

The network-defining keys of the published ``config.json`` are kept (its model type ``cxr-bert`` is a BERT with the size
of a projection). ``medsyn2.nn.text_encoder`` and transformers' ``BertModel.from_pretrained`` read the result.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medsyn2.errors import WeightsError
from medsyn2.nn.text_encoder import (
    ARCHITECTURE,
    CONFIG_FILE,
    TOKENIZER_CONFIG_FILE,
    TOKENIZER_SETTINGS,
    VOCABULARY_FILE,
    describe_bert,
    fitting_tokenizer,
    read_json,
)
from medsyn2.weights.conversion.checkpoints import network_file, read_weights
from medsyn2.weights.tensors import load_strictly

PREFIX = "bert."
DROPPED: frozenset[str] = frozenset(
    {
        "cls.predictions.bias",
        *(
            f"{layer}.{kind}"
            for layer in (
                "cls.predictions.transform.dense",
                "cls.predictions.transform.LayerNorm",
                "cls.predictions.decoder",
                "cls.seq_relationship",
                "cls_projection_head.dense_to_hidden",
                "cls_projection_head.LayerNorm",
                "cls_projection_head.dense_to_output",
                "classifier",
                "bert.pooler.dense",
            )
            for kind in ("weight", "bias")
        ),
        "bert.embeddings.position_ids",
        "bert.embeddings.token_type_ids",
    }
)
"""Heads and position buffers, none of which affects the last hidden state."""

_POSITIONS = "embeddings.position_embeddings.weight"
_MODEL_TYPES = ("bert", "cxr-bert")


@dataclass(frozen=True)
class ConvertedEncoder:
    """A converted text encoder: a BERT with transformers' names."""

    config: Mapping[str, Any]  # Configuration of the network
    state: Mapping[str, Tensor]  # Tensors in float32, without a prefix
    dropped: tuple[str, ...]  # Tensors left out, by the checkpoint's names
    vocabulary: bytes  # Content of ``vocab.txt``
    tokenizer: Mapping[str, Any]  # Settings of the tokenizer, by default BERT's
    origin: Mapping[str, str]  # Source file and its sha256

    @property
    def files(self) -> dict[str, Any]:
        """Arguments of ``medsyn2.nn.text_encoder.write_encoder``; the configuration includes the origin."""
        config = {**self.config, "converted_from": dict(self.origin)}
        return {"config": config, "state": self.state, "vocabulary": self.vocabulary, "tokenizer": self.tokenizer}


def convert_encoder(source: Path, base: Path | None = None) -> ConvertedEncoder:
    """Convert a checkpoint.

    Args:
        base: Folder with ``config.json`` and ``vocab.txt``; by default that of the weights.

    Raises:
        WeightsError: If a file is missing or unreadable, the vocabulary does not match the weights, or a tensor belongs
            neither to a BERT nor to a known head.
    """
    folder = base or (source.parent if source.is_file() else source)
    _published_config(folder)  # before the weights, which take longer
    foreign = read_weights(network_file(source))
    return build_encoder(foreign.state, folder, foreign.origin, source=str(source))


def build_encoder(
    weights: Mapping[str, Tensor], folder: Path, origin: Mapping[str, str], *, source: str
) -> ConvertedEncoder:
    """Convert tensors with the configuration and the vocabulary of a folder.

    Raises:
        WeightsError: As of `convert_encoder`.
    """
    config, state, dropped = _plain_bert(weights, _published_config(folder), source=source)
    fitting_tokenizer(folder, config["vocab_size"])
    vocabulary = (folder / VOCABULARY_FILE).read_bytes()
    return ConvertedEncoder(config, state, dropped, vocabulary, _tokenizer_settings(folder), origin)


def _published_config(folder: Path) -> dict[str, Any]:
    missing = [name for name in (CONFIG_FILE, VOCABULARY_FILE) if not (folder / name).is_file()]
    if missing:
        raise WeightsError(
            f"{folder} holds no {' and no '.join(missing)}, which belong to the weights.",
            code="text-encoder-incomplete",
            remedy="MedSyn's copy has weights alone: give --base with the folder of Microsoft's "
            "BiomedVLP-CXR-BERT-specialized, which it was made from.",
        )
    config = read_json(folder / CONFIG_FILE)
    kind = config.get("model_type", "bert")
    position = config.get("position_embedding_type", "absolute")
    if kind not in _MODEL_TYPES or position != "absolute" or config.get("is_decoder"):
        raise WeightsError(
            f"{folder / CONFIG_FILE} describes a {kind!r} with {position!r} positions, expected one of "
            f"{', '.join(_MODEL_TYPES)} with absolute ones that is no decoder.",
            code="text-encoder-layout",
            remedy="give CXR-BERT or another BERT.",
        )
    return config


def _tokenizer_settings(folder: Path) -> dict[str, Any]:
    file = folder / TOKENIZER_CONFIG_FILE
    settings = read_json(file) if file.is_file() else {}
    given = {key: settings[key] for key in TOKENIZER_SETTINGS if settings.get(key) is not None}
    return {"do_lower_case": True} | given


def _plain_bert(
    weights: Mapping[str, Tensor], config: Mapping[str, Any], *, source: str
) -> tuple[dict[str, Any], dict[str, Tensor], tuple[str, ...]]:
    """Extract the encoder from a checkpoint, strictly: its configuration, its tensors, and the dropped names.

    The published ``config.json`` may have fewer positions than the weights.
    """
    from transformers import BertConfig, BertModel

    prefix = PREFIX if any(name.startswith(PREFIX) for name in weights) else ""
    dropped = tuple(sorted(name for name in weights if name in DROPPED or PREFIX + name in DROPPED))
    state = {name.removeprefix(prefix): tensor.float() for name, tensor in weights.items() if name not in dropped}
    lacking = [name for name in ("vocab_size", "hidden_size", "num_hidden_layers") if name not in config]
    if lacking:
        raise WeightsError(
            f"the configuration beside {source} lacks {', '.join(lacking)}.",
            code="text-encoder-config",
            remedy="give the config.json that belongs to the weights.",
        )
    kept = {name: config[name] for name in ARCHITECTURE if name in config}
    rows = len(state[_POSITIONS]) if _POSITIONS in state else 0
    kept["max_position_embeddings"] = max(rows, kept.get("max_position_embeddings", 0))
    try:
        with torch.device("meta"):
            bert = BertModel(BertConfig(**kept), add_pooling_layer=False)
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"the configuration beside {source} describes no BERT: {error}.",
            code="text-encoder-config",
            remedy="give the config.json that belongs to the weights.",
        ) from error
    load_strictly(bert.to_empty(device="cpu"), state, source=source)
    return describe_bert(bert), state, dropped
