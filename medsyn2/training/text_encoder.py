"""The default text encoder, trained on the cohort's own reports, so that a run needs no downloaded weights.

Both steps use the reports of the training split and every wording of the pre-prompts, so that a cohort without reports
still gets an encoder:

1. a WordPiece vocabulary in lower case, as CXR-BERT has;
2. a small BERT, trained to fill in masked words: of 15 % of the tokens, 80 % are masked, 10 % replaced by a random
   token and 10 % kept (Devlin et al., 2019, section 3.1), with AdamW, a linear warm-up over the first tenth and a
   linear decay to zero.

Texts, settings and seed determine every byte. The encoder learns only which words of these reports belong together; it
is no substitute for CXR-BERT. Training uses one CPU thread and takes seconds: the network is too small for more.
"""

import string
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from medsyn2.config import TrainTextEncoderConfig
from medsyn2.errors import ConfigError, NonFiniteLossError
from medsyn2.faults import require_memory
from medsyn2.nn.text_encoder import TextEncoder
from medsyn2.types import Int

if TYPE_CHECKING:
    from transformers import BertModel

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_PAD, _UNK, _CLS, _SEP, _MASK = range(len(SPECIAL_TOKENS))
_MASKED_SHARE, _REPLACED_BY_MASK, _REPLACED_BY_ANY = 0.15, 0.8, 0.1
_IGNORED = -100
_MAX_GRAD_NORM = 1.0


def train_encoder(texts: Sequence[str], config: TrainTextEncoderConfig) -> tuple[TextEncoder, tuple[float, ...]]:
    """Train vocabulary and BERT on `texts`.

    Returns:
        The encoder, and the cross-entropy of each step in nats per masked token.

    Raises:
        ConfigError: If ``vocabulary_size`` leaves no room beside the special tokens.
        NonFiniteLossError: If the training diverges.
    """
    from transformers import BertTokenizer

    require_memory()
    vocabulary = train_vocabulary(texts, config.vocabulary_size)
    tokenizer = BertTokenizer(vocab={token: index for index, token in enumerate(vocabulary)})
    tokens = tokenizer(list(texts), truncation=True, max_length=config.max_tokens)["input_ids"]
    bert, losses = _train_masked_language_model(tokens, len(vocabulary), config)
    return TextEncoder(bert, tokenizer), losses


def train_vocabulary(texts: Sequence[str], size: int) -> tuple[str, ...]:
    """Train a WordPiece vocabulary of at most `size` tokens, the special ones first.

    The trainer breaks ties by the order in which it meets letters, which is random. Letters are therefore given to it
    in a fixed order, by frequency and code point, as starts of words and with ## as continuations. ASCII characters
    are always candidates, so that few reports still give a vocabulary that can spell any English word.

    Raises:
        ConfigError: If `size` leaves no room for words.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    num_letters = (size - len(SPECIAL_TOKENS)) // 2
    if num_letters < 1:
        raise ConfigError(
            f"train_text_encoder.vocabulary_size is {size}, which leaves no room beside the special tokens.",
            code="vocabulary-too-small",
            remedy="give some hundreds; 1024 suits a small cohort.",
        )
    normalizer = normalizers.BertNormalizer(lowercase=True)
    counts = Counter(string.ascii_lowercase + string.digits + string.punctuation)
    counts.update(letter for text in texts for letter in normalizer.normalize_str(text))
    letters = sorted(set(counts) - {" "}, key=lambda letter: (-counts[letter], letter))[:num_letters]
    tokenizer = Tokenizer(models.WordPiece(unk_token=SPECIAL_TOKENS[_UNK]))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        special_tokens=[*SPECIAL_TOKENS, *letters, *(f"##{letter}" for letter in letters)],
        initial_alphabet=letters,
        limit_alphabet=len(letters),
        show_progress=False,
    )
    # The separator is a special token; its letters are not text.
    parts = [part for text in texts for part in text.split(SPECIAL_TOKENS[_SEP])]
    tokenizer.train_from_iterator(parts, trainer=trainer)
    indices = tokenizer.get_vocab()
    return tuple(sorted(indices, key=indices.__getitem__))


def _train_masked_language_model(
    tokens: list[list[int]], vocabulary_size: int, config: TrainTextEncoderConfig
) -> tuple["BertModel", tuple[float, ...]]:
    from transformers import BertConfig, BertForMaskedLM

    generator = torch.Generator().manual_seed(config.seed)
    with _one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = BertForMaskedLM(
            BertConfig(
                vocab_size=vocabulary_size,
                hidden_size=config.hidden_size,
                num_hidden_layers=config.num_layers,
                num_attention_heads=config.num_heads,
                intermediate_size=4 * config.hidden_size,
                max_position_embeddings=config.max_tokens,
            )
        ).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _ramp(config.num_steps))
        losses: list[float] = []
        for step in tqdm(range(config.num_steps), desc="text encoder", mininterval=5, file=sys.stderr):
            batch, places = _batch(tokens, config, generator)
            masked, targets = mask_tokens(batch, vocabulary_size, generator)
            attended = batch != _PAD
            loss = model(masked, attention_mask=attended, position_ids=places, labels=targets).loss
            if not torch.isfinite(loss):
                raise NonFiniteLossError(
                    f"the loss of the text encoder's step {step} is {loss.item()}.",
                    code="text-encoder-diverged",
                    remedy="lower train_text_encoder.learning_rate.",
                )
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), _MAX_GRAD_NORM)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
    return model.bert.eval(), tuple(losses)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def mask_tokens(
    tokens: Int[Tensor, "b m"], vocabulary_size: int, generator: torch.Generator
) -> tuple[Int[Tensor, "b m"], Int[Tensor, "b m"]]:
    """Mask random tokens; return the masked tokens and the targets, -100 elsewhere.

    At least one token of the batch is a target, so that the loss is finite.

    Source: Devlin et al., BERT (2019), section 3.1 and appendix A.1.
    """
    words = (tokens != _PAD) & (tokens != _CLS) & (tokens != _SEP)
    draw = torch.rand(tokens.shape, generator=generator)
    draw = torch.where(words, draw, 1.0)
    asked = draw < max(_MASKED_SHARE, draw.min().item() + 1e-6)
    fate = torch.rand(tokens.shape, generator=generator)
    others = torch.randint(len(SPECIAL_TOKENS), vocabulary_size, tokens.shape, generator=generator)
    hidden = torch.where(asked & (fate < _REPLACED_BY_MASK), _MASK, tokens)
    replaced = asked & (fate >= _REPLACED_BY_MASK) & (fate < _REPLACED_BY_MASK + _REPLACED_BY_ANY)
    return torch.where(replaced, others, hidden), torch.where(asked, tokens, _IGNORED)


def _batch(
    tokens: list[list[int]], config: TrainTextEncoderConfig, generator: torch.Generator
) -> tuple[Int[Tensor, "b m"], Int[Tensor, "b m"]]:
    """Draw texts and a window of each; return the tokens and their positions in the full texts."""
    size = (config.batch_size,)
    chosen = [tokens[index] for index in torch.randint(len(tokens), size, generator=generator).tolist()]
    shares = torch.rand(size, generator=generator).tolist()
    starts = [
        int(share * (max(0, len(text) - config.window_tokens) + 1)) for share, text in zip(shares, chosen, strict=True)
    ]
    windows = [
        torch.tensor(text[start : start + config.window_tokens]) for start, text in zip(starts, chosen, strict=True)
    ]
    batch = nn.utils.rnn.pad_sequence(windows, batch_first=True, padding_value=_PAD)
    places = torch.tensor(starts)[:, None] + torch.arange(batch.shape[1])
    return batch, places.clamp(max=config.max_tokens - 1)


def _ramp(num_steps: int) -> Any:
    warmup = max(1, num_steps // 10)
    return lambda step: min((step + 1) / warmup, (num_steps - step) / max(1, num_steps - warmup), 1.0)
