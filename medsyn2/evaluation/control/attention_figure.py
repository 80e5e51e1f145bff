"""Maps of cross-attention: image tokens from inferior to superior, words of the text from left to right.

A report has hundreds of tokens and a volume thousands: the figure shows the heaviest tokens of the text in reading
order, and the image's tokens averaged over runs of their order, which is depth first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from medsyn2.page.figures import png_bytes

MAX_WORDS = 48
MAX_ROWS = 64
_DPI = 130


@dataclass(frozen=True)
class AttentionMap:
    """Cross-attention of one volume's tokens."""

    mean: Float[np.ndarray, " m"]  # Weight of each token of the text, over the tokens of the image
    rows: Float[np.ndarray, "r m"]  # The same over runs of the image's tokens, in their order
    tokens: Sequence[str]  # The text's tokens
    title: str  # Title of its panel


def attention_map(weights: Float[np.ndarray, "n m"], tokens: Sequence[str], title: str) -> AttentionMap:
    """Return what is shown of a map of weights, the mean over heads, blocks and steps, whose rows sum to 1."""
    runs = np.array_split(weights, min(MAX_ROWS, len(weights)))
    return AttentionMap(weights.mean(axis=0), np.stack([run.mean(axis=0) for run in runs]), tokens, title)


def write_map(path: Path, shown: AttentionMap) -> None:
    """Write a map as an uncompressed NumPy archive."""
    np.savez(path, mean=shown.mean, rows=shown.rows, tokens=np.array(shown.tokens), title=np.array(shown.title))


def read_map(path: Path) -> AttentionMap:
    """Read a map."""
    with np.load(path) as kept:
        return AttentionMap(kept["mean"], kept["rows"], kept["tokens"].tolist(), str(kept["title"]))


def attention_png(maps: Sequence[AttentionMap]) -> bytes:
    """Draw each map, with the mean weight of each token above it.

    A dashed line marks the weight of uniform attention.
    """
    columns = max(min(MAX_WORDS, len(one.mean)) for one in maps)
    figure = Figure(figsize=(max(6.0, 0.2 * columns + 1.5), 4.6 * len(maps)), layout="constrained")
    axes = figure.subplots(2 * len(maps), 1, squeeze=False, height_ratios=[1, 3] * len(maps))[:, 0]
    for above, below, one in zip(axes[::2], axes[1::2], maps, strict=True):
        mean = one.mean
        shown = np.sort(np.argsort(-mean, kind="stable")[:MAX_WORDS])
        places = np.arange(len(shown))
        above.bar(places, mean[shown], color="#1f4e79")
        above.axhline(1 / len(mean), color="#8a5a00", linestyle="--", linewidth=0.8, label="if all were alike")
        above.legend(fontsize=7, frameon=False, loc="upper right")
        above.set(title=f"{one.title}: {len(shown)} heaviest of {len(mean)} tokens", ylabel="mean weight")
        above.set_xlim(-0.5, len(shown) - 0.5)
        above.set_xticks([])
        image = below.imshow(
            one.rows[:, shown], aspect="auto", cmap="magma", vmin=0, origin="lower", interpolation="nearest"
        )
        # A bar for both axes keeps their tokens aligned.
        figure.colorbar(image, ax=[above, below], label="share of attention", pad=0.01, aspect=30)
        below.set_xticks(places, [one.tokens[index] for index in shown], rotation=90, fontsize=7)
        below.set(xlabel="token of the text, in reading order", yticks=[])
        below.set_ylabel("place in the image,\ninferior to superior")
    return png_bytes(figure, _DPI)
