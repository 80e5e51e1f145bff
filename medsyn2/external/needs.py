"""Which external weights a configuration needs, and what is there of them.

The tools' weights are looked for below ``segment.weights_dir``. Of what was converted, the files that the
configuration names are looked at; their own JSON holds the sha256 of the tensors beside it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from medsyn2.config import Config
from medsyn2.errors import WeightsError, reason
from medsyn2.external.checks import Check, check_download, check_file, read_checksums
from medsyn2.external.table import EXTERNALS, External
from medsyn2.vocabulary import Structure

_BERT_FILES = ("config.json", "vocab.txt", "model.safetensors")


@dataclass(frozen=True)
class Need:
    """Weights that a configuration needs.

    Attributes:
        row: The row of the table.
        setting: The key of the configuration that asks for them.
        checks: What was found of each file.
    """

    row: External
    setting: str
    checks: tuple[Check, ...]

    @property
    def met(self) -> bool:
        """Whether nothing is missing or damaged."""
        return all(check.state not in {"missing", "damaged"} for check in self.checks)

    def remedy(self) -> str:
        """Return what brings them."""
        if not self.row.downloads:
            get = f"get them from {self.row.page}"
        else:
            get = f"run `medsyn2 fetch {self.row.name} --to DIR` where there is a network"
        return f"{get}, then `{self.row.convert}`" if self.row.convert else get


def needs(config: Config) -> list[Need]:
    """Return what a configuration needs of others, with what is there of it.

    Raises:
        IntegrityError: If the folder's ``SHA256SUMS`` cannot be read.
    """
    found = [Need(row, "segment.weights_dir", _segmenter(config, row)) for row in _segmenters(config)]
    return found + [Need(row, setting, checks) for row, setting, checks in _converted(config)]


def refuse_damaged(folder: Path, tool: str, structures: set[Structure]) -> None:
    """Stop before a tool reads weights that are not those that they should be.

    Raises:
        WeightsError: If a file of the tool's weights for these structures has another checksum.
    """
    sums = read_checksums(folder)
    for row in EXTERNALS:
        if row.name.split("/")[0] == tool and row.structures & structures:
            for download in row.downloads:
                for check in check_download(download, folder, sums):
                    if check.state == "damaged":
                        raise WeightsError(
                            f"{check.path} is damaged: {check.note}.",
                            code="weights-damaged",
                            remedy=f"delete it and run `medsyn2 fetch {row.name} --to DIR` again; weights of your own "
                            f"are listed in {folder / 'SHA256SUMS'}.",
                        )


def _segmenters(config: Config) -> Iterator[External]:
    tools = [*config.segment.tools.items(), *config.evaluate_masks.tools.items()]
    for row in EXTERNALS:
        if any(tool == row.name.split("/")[0] and structure in row.structures for structure, tool in tools):
            yield row


def _segmenter(config: Config, row: External) -> tuple[Check, ...]:
    folder = config.segment.weights_dir
    if folder is None:
        return (Check(Path(row.downloads[0].path), "missing", "segment.weights_dir is empty"),)
    sums = read_checksums(folder)
    return tuple(check for download in row.downloads for check in check_download(download, folder, sums))


def _converted(config: Config) -> Iterator[tuple[External, str, tuple[Check, ...]]]:
    rows = {row.name: row for row in EXTERNALS}
    if config.encode_text.encoder_dir is not None:
        folder = Path(config.encode_text.encoder_dir)
        checks = tuple(check_file(folder / name, "") for name in _BERT_FILES)
        yield rows["cxr-bert"], "encode_text.encoder_dir", checks
    if config.train_tokenizer.initial_weights is not None:
        path = Path(config.train_tokenizer.initial_weights)
        yield rows["tokenizer"], "train_tokenizer.initial_weights", _component(path)
    if config.train_tokenizer.perceptual_weights is not None:
        given = config.train_tokenizer.perceptual_weights
        tensors = check_file(Path(given.path).with_suffix(".safetensors"), given.sha256)
        yield (
            rows["perceptual"],
            "train_tokenizer.perceptual_weights",
            (check_file(Path(given.path), ""), tensors),
        )
    if config.evaluate_fid.radimagenet is not None:
        yield (
            rows["radimagenet"],
            "evaluate_fid.radimagenet",
            (check_file(config.evaluate_fid.radimagenet, ""),),
        )


def _component(path: Path) -> tuple[Check, ...]:
    """Check a description of weights and the tensors beside it, whose sha256 it holds."""
    if not path.is_file():
        return (Check(path, "missing"),)
    try:
        sha256 = str(json.loads(path.read_text(encoding="utf-8"))["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        return (Check(path, "damaged", f"it is no description of weights: {reason(error)}"),)
    return (Check(path, "verified"), check_file(path.with_suffix(".safetensors"), sha256))
