"""The card of a model, ``README.md`` in its folder, as the Hugging Face Hub reads it.

It states the data, the licence, the limits and the use of the model, from its description alone. Figures are in it
only where they were measured with this very model; a card without them says so. The description does not hash
the card: its owner may add to it.

Source: Hugging Face, hub-docs, modelcard.md (the fields of the YAML header).
"""

from collections.abc import Sequence
from pathlib import Path

from medsyn2.files import write_text_atomically
from medsyn2.version import __version__
from medsyn2.vocabulary import STRUCTURE_WORDS
from medsyn2.weights.model_folder import CARD, ModelDescription

PAPER = "https://arxiv.org/abs/2606.00967"
_HEADER = f"""---
license: other
license_name: terms-of-the-training-data
license_link: {CARD}
library_name: medsyn2
language: en
tags: [medical, chest-ct, synthetic-data, text-to-ct, mask-to-ct, rectified-flow, diffusion-transformer]
---
"""
_UNMEASURED = (
    "None. Nothing was measured with this model when the card was written. `medsyn2 export model --results DIR` adds "
    "the tables of the run that trained it."
)
_LIMITS = """- Volumes are synthetic: they show no patient, and are not for diagnosis or any clinical use.
- It makes volumes of this grid and this range of HU, of chests as its training cases have them, and knows no other body
  part. What those cases lack, by age, sex, scanner or disease, it lacks.
- Masks of other structures than those listed, and reports in another language or style, are taken, and their effect is
  unknown.
- A model can repeat its training cases. Whether this one does stands under Figures if it was measured.
- A segmenter or classifier that is trained with its volumes is to be scored on real ones.
"""


def write_card(folder: Path, description: ModelDescription, figures: Sequence[str] = ()) -> None:
    """Write the card of a model into its folder."""
    write_text_atomically(folder / CARD, model_card(description, figures))


def model_card(description: ModelDescription, figures: Sequence[str] = ()) -> str:
    """Return the card of a model.

    Args:
        figures: Sections of measured figures in Markdown.
    """
    parts = [
        f"{_HEADER}# MedSyn2: chest CTs from reports and masks",
        _about(description),
        f"## Use\n\n{_use()}",
        f"## Training data\n\n{_data(description)}",
        "## Figures\n\n" + ("\n\n".join(figures) or _UNMEASURED),
        f"## Limits\n\n{_LIMITS.rstrip()}",
        f"## Licence\n\n{_licence(description)}",
        f"## Citation\n\nThe method: {PAPER}. `medsyn2 cite` lists what a run with a configuration is to cite.",
        f"Written by medsyn2 {__version__}; fingerprint of the model `{description.fingerprint}`.",
    ]
    return "\n\n".join(parts) + "\n"


def _about(description: ModelDescription) -> str:
    grid, sampling = description.grid, description.sampling
    low, high = grid.clip_hu
    spacing = " x ".join(f"{sum(row[axis] ** 2 for row in grid.affine_mm[:3]) ** 0.5:.4g}" for axis in range(3))
    return (
        "A diffusion transformer on the latents of a 3D tokenizer. A report, a mask of one structure with words for "
        "it, both or neither give a volume in Hounsfield units.\n\n"
        "| | |\n|---|---|\n"
        f"| voxels (depth, height, width) | {' x '.join(map(str, grid.shape))} |\n"
        f"| spacing, mm | {spacing} |\n"
        f"| HU | {low:g} to {high:g} |\n"
        f"| tokens of a report | {description.text.max_report_tokens} |\n"
        f"| sampling | {sampling.solver}, {sampling.num_steps} steps, guidance {sampling.guidance_report:g} of the "
        f"report and {sampling.guidance_mask:g} of the mask |"
    )


def _use() -> str:
    return (
        "```python\nfrom medsyn2 import MedSyn2Pipeline\n\n"
        'pipeline = MedSyn2Pipeline.from_pretrained("FOLDER")\n'
        'pipeline("Large left pleural effusion.", seed=1).save("effusion.nii.gz")\n```'
    )


def _data(description: ModelDescription) -> str:
    training = description.training
    lines = [
        f"{_count(training.num_cases)} CTs, {_count(training.num_reports)} of them with a report; "
        f"{_count(training.num_steps)} steps of the optimizer."
    ]
    if training.cases_sha256:
        lines.append(f"The cases are identified by the hash `{training.cases_sha256}` of their names.")
    rows = [f"| {STRUCTURE_WORDS[name]} | {_count(count)} |" for name, count in training.structures.items()]
    table = ["\n".join(["| masks in training | cases |", "|---|---|", *rows])] if rows else []
    template = ["The folder holds a template at low resolution, made of training CTs."] if description.register else []
    return "\n\n".join([" ".join(lines), *table, *template])


def _count(number: int | None) -> str:
    return "an unknown number of" if number is None else f"{number:,}"


def _licence(description: ModelDescription) -> str:
    stated = description.licence or "None is stated beside the terms of the training data, which hold for the weights."
    return "\n\n".join(part for part in (stated, description.training.note) if part)
