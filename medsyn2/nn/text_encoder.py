"""The text encoder: a BERT that turns a report or a pre-prompt into one vector per token.

It reads a local folder in Hugging Face format (``config.json``, ``vocab.txt``, ``model.safetensors`` and, for the
case of letters, ``tokenizer_config.json``), runs no code from it and uses no network. The vectors are BERT's last
hidden state. Folders written by this project record the sha256 of their weights, which is checked.

CXR-BERT is a BERT under the prefix ``bert.`` with a masked-language-model head and a projection head. Prefix and heads
are removed; any other tensor is refused. Its position embeddings may be longer than the configuration says, so the
weights decide.

A text is ``[CLS] ... [SEP]``, truncated to a number of tokens that includes these two. Each text is encoded by itself
and unpadded, so its vectors do not depend on other texts; they equal those of a padded batch with an attention mask.
Positions after the text are zeros. Models trained to attend to padding need `TextEncoder.encode_padded`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from medsyn2.errors import ConfigError, IntegrityError, WeightsError, reason
from medsyn2.faults import fault_of, name_file, require_memory
from medsyn2.files import sha256_of
from medsyn2.integrity import check_files, read_sealed, remedy_by_deleting
from medsyn2.nn.split_words import note_split_words
from medsyn2.types import Float, Int

if TYPE_CHECKING:
    from transformers import BertModel, BertTokenizer

CONFIG_FILE, VOCABULARY_FILE, WEIGHTS_FILE = "config.json", "vocab.txt", "model.safetensors"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
ENCODER_FILES = (CONFIG_FILE, VOCABULARY_FILE, WEIGHTS_FILE)
"""Required files; ``tokenizer_config.json`` is optional."""

ARCHITECTURE = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "max_position_embeddings",
    "type_vocab_size",
    "layer_norm_eps",
    "pad_token_id",
)
"""Keys of the configuration that define the network."""

WEIGHTS_SHA256 = "weights_sha256"
"""Key of the configuration with the sha256 of the weights, written by `write_encoder`."""

TOKENIZER_SETTINGS = ("do_lower_case", "tokenize_chinese_chars", "strip_accents")
"""Keys of ``tokenizer_config.json`` that define the splitting into tokens."""

_PREFIX = "bert."
_HEADS = ("cls.", "cls_projection_head.", "pooler.", "embeddings.position_ids")
_POSITIONS = "embeddings.position_embeddings.weight"
NUM_SPECIAL_TOKENS = 2
_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True)
class EncodedText:
    """Token embeddings of a batch of texts."""

    embeddings: Float[Tensor, "n m e"]  # A vector per token, zeros after the end of each text
    lengths: Int[Tensor, " n"]  # Tokens of each text, ``[CLS]`` and ``[SEP]`` included
    cut: tuple[str, ...]  # Truncated end of each text; empty if the text fits
    num_cut: tuple[int, ...]  # Number of truncated tokens of each text
    unknown: tuple[int, ...]  # Number of out-of-vocabulary tokens of each text
    notes: tuple[tuple[str, ...], ...]  # What deserves a look: that most words of a text fall into pieces


class TextEncoder(nn.Module):
    """A frozen BERT with its tokenizer."""

    def __init__(self, bert: "BertModel", tokenizer: "BertTokenizer") -> None:
        super().__init__()
        self.bert = bert.eval().requires_grad_(False)
        self.tokenizer = tokenizer

    @classmethod
    def from_folder(cls, folder: Path | str) -> "TextEncoder":
        """Load an encoder from a folder in Hugging Face format.

        Raises:
            WeightsError: If a file is missing or unreadable, or the weights do not match the configuration.
            IntegrityError: If a file is not the one that the description beside the folder says.
        """
        folder = Path(folder)
        check_description(folder)
        missing = [name for name in ENCODER_FILES if not (folder / name).is_file()]
        if missing:
            raise WeightsError(
                f"The text encoder's folder {folder} lacks {', '.join(missing)}.",
                code="text-encoder-incomplete",
                remedy=f"give a folder with {', '.join(ENCODER_FILES)}; convert a pytorch_model.bin first.",
            )
        bert = _load_bert(folder)
        tokenizer = fitting_tokenizer(folder, bert.config.vocab_size)
        return cls(bert, tokenizer)

    def save(self, folder: Path | str) -> None:
        """Write the encoder in Hugging Face format; the same encoder gives the same bytes."""
        ids = self.tokenizer.get_vocab()
        defaults = {"tokenize_chinese_chars": True, "strip_accents": None}
        settings = {name: getattr(self.tokenizer, name) for name in TOKENIZER_SETTINGS}
        write_encoder(
            Path(folder),
            config=describe_bert(self.bert),
            state=self.bert.state_dict(),
            vocabulary=("\n".join(sorted(ids, key=ids.__getitem__)) + "\n").encode(),
            tokenizer={name: value for name, value in settings.items() if defaults.get(name, ...) != value},
        )

    @property
    def separator(self) -> str:
        """Token between findings and impression."""
        return str(self.tokenizer.sep_token)

    @property
    def width(self) -> int:
        """Length of a token's vector."""
        return int(self.bert.config.hidden_size)

    @property
    def max_tokens(self) -> int:
        """Number of position embeddings."""
        return int(self.bert.config.max_position_embeddings)

    @torch.no_grad()
    def encode(self, texts: Sequence[str], max_tokens: int) -> EncodedText:
        """Encode each text into at most `max_tokens` vectors.

        Raises:
            ConfigError: If `max_tokens` exceeds the encoder's positions or leaves no room for a word.
        """
        self._check_room(max_tokens)
        device = next(self.bert.parameters()).device
        embeddings = torch.zeros(len(texts), max_tokens, self.width, device=device)
        lengths = torch.zeros(len(texts), dtype=torch.long, device=device)
        cut: list[str] = []
        num_cut: list[int] = []
        unknown: list[int] = []
        notes: list[tuple[str, ...]] = []
        for row, text in enumerate(texts):
            token_ids, left_over, num_left_over = self._tokens(text, max_tokens)
            hidden = self.bert(input_ids=torch.tensor([token_ids], device=device)).last_hidden_state[0]
            embeddings[row, : len(token_ids)] = hidden  # m e
            lengths[row] = len(token_ids)
            cut.append(left_over)
            num_cut.append(num_left_over)
            unknown.append(token_ids.count(self.tokenizer.unk_token_id))
            notes.append(self._notes(token_ids))
        return EncodedText(embeddings, lengths, tuple(cut), tuple(num_cut), tuple(unknown), tuple(notes))

    @torch.no_grad()
    def encode_padded(self, texts: Sequence[str], max_tokens: int) -> EncodedText:
        """Encode each text into exactly `max_tokens` vectors, as MedSyn and the authors of MedSyn2 do.

        A text is encoded up to the encoder's number of positions and padded with ``[PAD]``, which has vectors
        although no token attends to it. The first `max_tokens` vectors are kept: those of a longer text depend on
        the truncated words, and ``[SEP]`` is lost.

        Returns:
            As `encode`, with the vectors of the padding instead of zeros.

        Raises:
            ConfigError: If `max_tokens` exceeds the encoder's positions or leaves no room for a word.
        """
        self._check_room(max_tokens)
        device = next(self.bert.parameters()).device
        rows, lengths, cut, num_cut, unknown, notes = [], [], [], [], [], []
        for text in texts:
            token_ids, _, _ = self._tokens(text, self.max_tokens)
            padding = [self.tokenizer.pad_token_id] * (max_tokens - len(token_ids))
            real = torch.tensor([[1] * len(token_ids) + [0] * len(padding)], device=device)
            padded = torch.tensor([token_ids + padding], device=device)
            rows.append(self.bert(input_ids=padded, attention_mask=real).last_hidden_state[0, :max_tokens])
            lengths.append(min(len(token_ids), max_tokens))
            unknown.append(token_ids[:max_tokens].count(self.tokenizer.unk_token_id))
            _, left_over, num_left_over = self._tokens(text, max_tokens + 1)  # [SEP] has no place of its own
            cut.append(left_over)
            num_cut.append(num_left_over)
            notes.append(self._notes(token_ids))
        embeddings, counts = torch.stack(rows), (tuple(num_cut), tuple(unknown))
        return EncodedText(embeddings, torch.tensor(lengths), tuple(cut), *counts, tuple(notes))

    def words(self, text: str, max_tokens: int) -> list[str]:
        """Return the token of each vector of `encode`; continuations of words begin with ``##``."""
        token_ids, _, _ = self._tokens(text, max_tokens)
        return [str(token) for token in self.tokenizer.convert_ids_to_tokens(token_ids)]

    def _notes(self, token_ids: Sequence[int]) -> tuple[str, ...]:
        tokens = [str(token) for token in self.tokenizer.convert_ids_to_tokens(list(token_ids))]
        return note_split_words(tokens, str(self.tokenizer.unk_token))

    def _check_room(self, max_tokens: int) -> None:
        if not NUM_SPECIAL_TOKENS < max_tokens <= self.max_tokens:
            raise ConfigError(
                f"Expected 3 to {self.max_tokens} tokens a text, which is what this encoder has positions "
                f"for, got {max_tokens}.",
                code="text-tokens",
                remedy="lower encode_text.max_report_tokens and max_prompt_tokens, or use another encoder.",
            )

    def _tokens(self, text: str, max_tokens: int) -> tuple[list[int], str, int]:
        whole = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        token_ids, offsets = whole["input_ids"], whole["offset_mapping"]
        room = max_tokens - NUM_SPECIAL_TOKENS
        num_cut = max(0, len(token_ids) - room)
        left_over = text[offsets[room][0] :] if num_cut else ""
        return ([self.tokenizer.cls_token_id, *token_ids[:room], self.tokenizer.sep_token_id], left_over, num_cut)


def describe_bert(bert: "BertModel") -> dict[str, Any]:
    """Return the content of a BERT's ``config.json``."""
    described = {name: getattr(bert.config, name) for name in ARCHITECTURE}
    return {**described, "architectures": ["BertModel"], "model_type": "bert"}


def fitting_tokenizer(folder: Path, num_embeddings: int) -> "BertTokenizer":
    """Load a folder's tokenizer, checked against weights with `num_embeddings` token embeddings.

    Raises:
        WeightsError: If the vocabulary is invalid or larger than `num_embeddings`.
    """
    tokenizer = load_tokenizer(folder)
    if len(tokenizer) > num_embeddings:
        raise WeightsError(
            f"{folder / VOCABULARY_FILE} has {len(tokenizer)} tokens, "
            f"but the weights have embeddings for {num_embeddings}.",
            code="text-encoder-vocabulary",
            remedy="give the vocab.txt that belongs to the weights.",
        )
    return tokenizer


def load_tokenizer(folder: Path) -> "BertTokenizer":
    """Load the ``transformers.BertTokenizer`` of a folder's ``vocab.txt``.

    Raises:
        WeightsError: If the vocabulary lacks a special token or has a token twice.
    """
    from transformers import BertTokenizer

    text = (folder / VOCABULARY_FILE).read_text(encoding="utf-8", errors="replace")
    tokens = text.removesuffix("\n").split("\n")
    lacking = [token for token in _SPECIAL_TOKENS if token not in tokens]
    if lacking or len(set(tokens)) < len(tokens):
        raise WeightsError(
            f"{folder / VOCABULARY_FILE} is not a BERT vocabulary: it has {len(tokens)} lines, "
            f"{len(set(tokens))} of them distinct, and lacks {lacking or 'nothing'}.",
            code="text-encoder-vocabulary",
            remedy="give the vocab.txt that belongs to the weights, one token a line.",
        )
    settings_file = folder / TOKENIZER_CONFIG_FILE
    settings = read_json(settings_file) if settings_file.is_file() else {}
    require_memory()
    return BertTokenizer(
        vocab={token: index for index, token in enumerate(tokens)},
        do_lower_case=settings.get("do_lower_case", True),
        tokenize_chinese_chars=settings.get("tokenize_chinese_chars", True),
        strip_accents=settings.get("strip_accents"),
    )


def check_description(folder: Path) -> None:
    """Compare the files of a folder that this project trained with the description beside it; others have none.

    Raises:
        IntegrityError: If the description or a file was changed.
    """
    description = folder.with_name(f"{folder.name}.json")
    if not description.is_file():
        return
    try:
        check_files(folder, read_sealed(description)["files"], description)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise IntegrityError(
            f"{description}, which describes the text encoder in {folder}, was damaged or replaced: {reason(error)}.",
            code="text-encoder-damaged",
            remedy=remedy_by_deleting(description),
        ) from error


def write_encoder(
    folder: Path,
    *,
    config: Mapping[str, Any],
    state: Mapping[str, Tensor],
    vocabulary: bytes,
    tokenizer: Mapping[str, Any],
) -> None:
    """Write a text encoder in Hugging Face format; the same encoder gives the same bytes.

    Args:
        folder: Output folder.
        config: Content of ``config.json``.
        state: Tensors of a ``transformers.BertModel`` without a pooler.
        vocabulary: Content of ``vocab.txt``: a token per line, UTF-8.
        tokenizer: Values of `TOKENIZER_SETTINGS` other than BERT's defaults.
    """
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in state.items()}
    with name_file(folder):
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
        (folder / VOCABULARY_FILE).write_bytes(vocabulary)
        _write_json(folder / TOKENIZER_CONFIG_FILE, {**tokenizer, "tokenizer_class": "BertTokenizer"})
        _write_json(folder / CONFIG_FILE, {**config, WEIGHTS_SHA256: sha256_of(folder / WEIGHTS_FILE)})


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, sort_keys=True, indent=1) + "\n", encoding="utf-8")


def _load_bert(folder: Path) -> "BertModel":
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel

    values = read_json(folder / CONFIG_FILE)
    _check_recorded(folder / WEIGHTS_FILE, values.get(WEIGHTS_SHA256))
    try:
        state = _encoder_state(load_file(folder / WEIGHTS_FILE), folder / WEIGHTS_FILE)
        architecture = {name: values[name] for name in ARCHITECTURE if name in values}
        architecture["max_position_embeddings"] = len(state[_POSITIONS])
        with torch.random.fork_rng(devices=[]):
            bert = BertModel(BertConfig(**architecture), add_pooling_layer=False)
        bert.load_state_dict(state, strict=True)
    except (SafetensorError, RuntimeError, KeyError, TypeError, ValueError) as error:
        if fault := fault_of(error):
            raise fault from error
        raise WeightsError(
            f"{folder / WEIGHTS_FILE} does not hold the BERT that {CONFIG_FILE} describes: {error}",
            code="text-encoder-layout",
            remedy="give the configuration and the weights of one BERT, unchanged.",
        ) from error
    return bert


def _check_recorded(weights: Path, sha256: str | None) -> None:
    """Refuse weights whose sha256 is not the recorded one; foreign folders record none."""
    if sha256 is not None and (found := sha256_of(weights)) != sha256:
        raise WeightsError(
            f"{weights} has the sha256 {found}, expected {sha256} as {CONFIG_FILE} says.",
            code="weights-damaged",
            remedy="copy the folder again, or write it again with `medsyn2 convert text-encoder` or the stage that "
            "trained it.",
        )


def _encoder_state(weights: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Select the encoder's weights, in float32, and refuse tensors other than the known heads."""
    prefixed = any(name.startswith(_PREFIX) for name in weights)
    named = {name.removeprefix(_PREFIX) if prefixed else name: tensor for name, tensor in weights.items()}
    state = {name: tensor.float() for name, tensor in named.items() if not name.startswith(_HEADS)}
    strangers = sorted(name for name in state if not name.startswith(("embeddings.", "encoder.")))
    if strangers or _POSITIONS not in state:
        raise WeightsError(
            f"{path} is not a BERT: unexpected {strangers[:5] or 'nothing'}, "
            f"{_POSITIONS} {'present' if _POSITIONS in state else 'missing'}.",
            code="text-encoder-layout",
            remedy="give the model.safetensors of a BertModel or of a BertForMaskedLM.",
        )
    return state


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of an encoder's folder.

    Raises:
        WeightsError: If it cannot be read.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError("not a JSON object")
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{path} cannot be read: {error}.",
            code="text-encoder-config",
            remedy="give the file that belongs to the weights.",
        ) from error
    return values
