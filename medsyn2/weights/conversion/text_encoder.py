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

import json
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
    fitting_tokenizer,
)
from medsyn2.weights.conversion.checkpoints import read_weights
from medsyn2.weights.conversion.dit import network_file
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
class PlainBert:
    """A BERT with transformers' names."""

    config: dict[str, Any]  # Configuration of the network
    state: dict[str, Tensor]  # Tensors in float32, without a prefix
    dropped: tuple[str, ...]  # Tensors left out, by the checkpoint's names


@dataclass(frozen=True)
class Published:
    """Files published with the weights."""

    config: Mapping[str, Any]  # Content of ``config.json``
    vocabulary: bytes  # Content of ``vocab.txt``
    tokenizer: dict[str, Any]  # Settings of the tokenizer, by default BERT's


@dataclass(frozen=True)
class ConvertedEncoder:
    """A converted text encoder."""

    bert: PlainBert  # The network
    published: Published  # Files published with it
    origin: Mapping[str, str]  # Source file and its sha256

    @property
    def files(self) -> dict[str, Any]:
        """Arguments of ``medsyn2.nn.text_encoder.write_encoder``; the configuration includes the origin."""
        return {
            "config": {**self.bert.config, "converted_from": dict(self.origin)},
            "state": self.bert.state,
            "vocabulary": self.published.vocabulary,
            "tokenizer": self.published.tokenizer,
        }


def convert_encoder(source: Path, base: Path | None = None) -> ConvertedEncoder:
    """Convert a checkpoint.

    Args:
        source: Folder or file of the weights.
        base: Folder with ``config.json`` and ``vocab.txt``; by default that of the weights.

    Raises:
        WeightsError: If a file is missing or unreadable, the vocabulary does not match the weights, or a tensor belongs
            neither to a BERT nor to a known head.
    """
    folder = base or (source.parent if source.is_file() else source)
    published = read_published(folder)
    foreign = read_weights(network_file(source))
    bert = plain_bert(foreign.state, published.config, source=str(source))
    fitting_tokenizer(folder, bert.config["vocab_size"])
    return ConvertedEncoder(bert, published, foreign.origin)


def read_published(folder: Path) -> Published:
    """Read the configuration and the vocabulary of a folder in Hugging Face format.

    Raises:
        WeightsError: If one is missing or unreadable, or the network is not a BERT with absolute positions.
    """
    missing = [name for name in (CONFIG_FILE, VOCABULARY_FILE) if not (folder / name).is_file()]
    if missing:
        raise WeightsError(
            f"{folder} holds no {' and no '.join(missing)}, which belong to the weights.",
            code="text-encoder-incomplete",
            remedy="MedSyn's copy has weights alone: give --base with the folder of Microsoft's "
            "BiomedVLP-CXR-BERT-specialized, which it was made from.",
        )
    config = _read_json(folder / CONFIG_FILE)
    kind = config.get("model_type", "bert")
    position = config.get("position_embedding_type", "absolute")
    if kind not in _MODEL_TYPES or position != "absolute" or config.get("is_decoder"):
        raise WeightsError(
            f"{folder / CONFIG_FILE} describes a {kind!r} with {position!r} positions, expected one of "
            f"{', '.join(_MODEL_TYPES)} with absolute ones that is no decoder.",
            code="text-encoder-layout",
            remedy="give CXR-BERT or another BERT.",
        )
    settings_file = folder / TOKENIZER_CONFIG_FILE
    settings = _read_json(settings_file) if settings_file.is_file() else {}
    tokenizer = {"do_lower_case": True} | {
        key: settings[key] for key in TOKENIZER_SETTINGS if settings.get(key) is not None
    }
    return Published(config, (folder / VOCABULARY_FILE).read_bytes(), tokenizer)


def plain_bert(weights: Mapping[str, Tensor], config: Mapping[str, Any], *, source: str) -> PlainBert:
    """Extract the encoder from a checkpoint of CXR-BERT, of MedSyn or of a plain BERT, strictly.

    Args:
        weights: Tensors by name.
        config: The published ``config.json``, possibly with fewer positions than the weights.
        source: Origin of the tensors, for messages.

    Raises:
        WeightsError: If a tensor of the encoder is missing or of another shape, or a tensor is neither the encoder's
            nor in `DROPPED`.
    """
    from transformers import BertConfig, BertModel

    prefix = PREFIX if any(name.startswith(PREFIX) for name in weights) else ""
    dropped = tuple(sorted(name for name in weights if name in DROPPED or PREFIX + name in DROPPED))
    state = {
        name.removeprefix(prefix): tensor.float() for name, tensor in weights.items() if name not in dropped
    }
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
    described = {name: getattr(bert.config, name) for name in ARCHITECTURE}
    return PlainBert({**described, "architectures": ["BertModel"], "model_type": "bert"}, state, dropped)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise WeightsError(
            f"{path} is no JSON object: {error}.",
            code="text-encoder-config",
            remedy="download or copy it again.",
        ) from error
