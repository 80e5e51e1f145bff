"""The model that ships with the package: small, trained on the embedded phantoms (``configs/bundled.yaml``).

It is a model folder like any other (``model_folder.py``), its tensors in float16, with a card. Commands and
`MedSyn2Pipeline.from_pretrained` take it where no other is given, and say so.
"""

import logging
from pathlib import Path

from medsyn2.vocabulary import BUNDLED

log = logging.getLogger(__name__)

MAX_BYTES = 12_000_000
"""Size of the whole folder that an installation bears."""


def bundled_model() -> Path:
    """Return the folder of the model that ships with the package."""
    return Path(__file__).parent / "model"


def initial_tokenizer(given: str | None) -> Path | None:
    """Return the description of the tokenizer that a training starts from: a file, or `BUNDLED`."""
    if given == BUNDLED:
        return bundled_model() / "tokenizer.json"
    return Path(given) if given else None


def choose_model(given: Path | None) -> Path:
    """Return the folder that was given, or that of the model that ships, and say so."""
    if given is not None:
        return given
    log.info("no model is given: the small one that ships with medsyn2, trained on phantoms, is used")
    return bundled_model()
