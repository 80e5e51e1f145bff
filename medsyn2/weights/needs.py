"""External weights that a configuration needs, and their state on this machine.

Weights of segmenters are looked up below ``segment.weights_dir``, converted weights at the paths in the configuration.
The JSON next to converted tensors holds their sha256. Files without one must open and have the first keys or tensors
that their loader needs; loading itself checks more strictly and needs torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from medsyn2.config import Config
from medsyn2.errors import WeightsError
from medsyn2.vocabulary import BUNDLED, Structure
from medsyn2.weights.catalogue import CATALOGUE, CatalogueEntry
from medsyn2.weights.checks import Check, check_download, check_format, check_recorded, read_checksums
from medsyn2.weights.formats import json_problem, read_object, tensors_problem, vocabulary_problem

_DESCRIPTION = ("kind", "config", "sha256")
_BERT_KEYS = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
_BERT_TENSORS = ("embeddings.position_embeddings.weight",)
_RADIMAGENET_TENSORS = ("backbone.0.weight", "conv1.bias")


@dataclass(frozen=True)
class Need:
    """Weights that a configuration needs."""

    row: CatalogueEntry
    setting: str
    checks: tuple[Check, ...]

    @property
    def is_met(self) -> bool:
        """No file is missing or damaged."""
        return all(check.state not in {"missing", "damaged"} for check in self.checks)

    def remedy(self) -> str:
        """Return the instruction to obtain them."""
        steps = [f"run `medsyn2 fetch {self.row.name} --to DIR` where there is a network"] if self.row.downloads else []
        steps += [f"get {self.row.by_hand} from {self.row.page}"] if self.row.by_hand else []
        steps += [f"`{self.row.convert}`"] if self.row.convert else []
        return ", then ".join(steps)


def needs(config: Config) -> list[Need]:
    """Check the external weights that a configuration needs.

    Raises:
        IntegrityError: If the folder's ``SHA256SUMS`` cannot be read.
    """
    found = [Need(row, "segment.weights_dir", _segmenter(config, row)) for row in _segmenters(config)]
    return found + [Need(row, setting, checks) for row, setting, checks in _conversion_needs(config)]


def refuse_damaged(folder: Path, tool: str, structures: set[Structure]) -> None:
    """Refuse damaged weights before a tool reads them.

    Raises:
        WeightsError: If the checksum of a file for these structures is wrong.
    """
    sums = read_checksums(folder)
    for row in CATALOGUE:
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


def _segmenters(config: Config) -> Iterator[CatalogueEntry]:
    tools = [*config.segment.tools.items(), *config.evaluate_masks.tools.items()]
    for row in CATALOGUE:
        if any(tool == row.name.split("/")[0] and structure in row.structures for structure, tool in tools):
            yield row


def _segmenter(config: Config, row: CatalogueEntry) -> tuple[Check, ...]:
    folder = config.segment.weights_dir
    if folder is None:
        return (Check(Path(row.downloads[0].path), "missing", "segment.weights_dir is empty"),)
    sums = read_checksums(folder)
    return tuple(check for download in row.downloads for check in check_download(download, folder, sums))


def _conversion_needs(config: Config) -> Iterator[tuple[CatalogueEntry, str, tuple[Check, ...]]]:
    rows = {row.name: row for row in CATALOGUE}

    def converted(folder: Path, usual: str) -> CatalogueEntry:
        """Return the row whose conversion makes a folder of this name, else the usual one."""
        return rows.get(folder.name, rows[usual])

    if config.encode_text.encoder_dir is not None:
        folder = Path(config.encode_text.encoder_dir)
        yield converted(folder, "cxr-bert"), "encode_text.encoder_dir", _encoder(folder)
    initial = config.train_tokenizer.initial_weights
    if initial is not None and initial != BUNDLED:
        path = Path(initial)
        row = converted(path.parent, "tokenizer")
        yield row, "train_tokenizer.initial_weights", _component(path, "tokenizer")
    if config.train_tokenizer.perceptual_weights is not None:
        path = Path(config.train_tokenizer.perceptual_weights)
        yield rows["perceptual"], "train_tokenizer.perceptual_weights", _component(path, "perceptual")
    if config.evaluate_fid.radimagenet is not None:
        yield rows["radimagenet"], "evaluate_fid.radimagenet", _radimagenet(config.evaluate_fid.radimagenet)


def _encoder(folder: Path) -> tuple[Check, ...]:
    """Check a text encoder's folder; if this project wrote it, its configuration holds the sha256 of the tensors."""
    config, tensors = folder / "config.json", folder / "model.safetensors"
    checks = (
        check_format(config, partial(json_problem, keys=_BERT_KEYS)),
        check_format(folder / "vocab.txt", vocabulary_problem),
    )
    sha256 = read_object(config).get("weights_sha256") if checks[0].state == "unverified" else None
    if sha256 is not None:
        return (*checks, check_recorded(tensors, sha256, config.name))
    return (*checks, check_format(tensors, partial(tensors_problem, names=_BERT_TENSORS)))


def _radimagenet(tensors: Path) -> tuple[Check, ...]:
    """Check RadImageNet's tensors, by the description next to them if there is one."""
    description = tensors.with_suffix(".json")
    if tensors.suffix == ".safetensors" and description.is_file():
        return _component(description, "radimagenet")
    return (check_format(tensors, partial(tensors_problem, names=_RADIMAGENET_TENSORS)),)


def _component(path: Path, kind: str) -> tuple[Check, ...]:
    """Check a description of weights and the tensors next to it, whose sha256 it holds."""
    description = check_format(path, partial(json_problem, keys=_DESCRIPTION))
    tensors = path.with_suffix(".safetensors")
    if description.state != "unverified":
        return description, check_format(tensors, tensors_problem)
    values = read_object(path)
    if values["kind"] != kind:
        return (Check(path, "damaged", f"it describes a {values['kind']!r}, expected a {kind!r}"),)
    return description, check_recorded(tensors, str(values["sha256"]), path.name)
