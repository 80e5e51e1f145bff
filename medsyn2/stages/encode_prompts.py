"""The stage ``encode_prompts``: the pre-prompts as token embeddings, in one file."""

import logging
from pathlib import Path

from medsyn2.config import EncodeTextConfig
from medsyn2.errors import ConfigError
from medsyn2.files import lock
from medsyn2.fingerprints import fingerprint
from medsyn2.nn.text_encoder import TextEncoder
from medsyn2.reports.prompts import all_prompts
from medsyn2.stages.encode_text import encoder_identity
from medsyn2.store.text_embeddings import write_prompts

log = logging.getLogger(__name__)


def encode_prompts(encode_text: EncodeTextConfig, *, encoder: Path, prompts: Path, settings: str) -> None:
    """Encode every wording of every pre-prompt: five for each structure, three without a mask.

    The embeddings go beside `prompts`, into the file ``.zarr.zip`` of the same name, under the ids of
    ``medsyn2.reports.prompts.prompt_id``.
    """
    texts = all_prompts()
    network, identity = TextEncoder.from_folder(encoder), encoder_identity(encoder)
    encode = network.encode_padded if encode_text.padded else network.encode
    encoded = encode(list(texts.values()), encode_text.max_prompt_tokens)
    cut = [text for text, left_over in zip(texts.values(), encoded.cut, strict=True) if left_over]
    if cut:
        raise ConfigError(
            f"{len(cut)} pre-prompts have more than encode_text.max_prompt_tokens = "
            f"{encode_text.max_prompt_tokens} tokens with the vocabulary of {encoder}, such as {cut[0]!r}.",
            code="prompt-too-long",
            remedy="raise it; 32 is the paper's and enough for an English vocabulary.",
        )
    lengths = dict(zip(texts, encoded.lengths.tolist(), strict=True))
    kept = {name: None if encode_text.padded else length for name, length in lengths.items()}
    embeddings = {name: vectors[: kept[name]].numpy() for name, vectors in zip(texts, encoded.embeddings, strict=True)}
    description = {
        "fingerprint": fingerprint("encode_prompts", settings, identity, texts),
        "encoder": identity,
        "max_tokens": encode_text.max_prompt_tokens,
        "padded": encode_text.padded,
        "width": network.width,
        "prompts": {name: {"text": text, "num_tokens": lengths[name]} for name, text in texts.items()},
    }
    with lock(prompts):
        write_prompts(prompts, description, embeddings)
