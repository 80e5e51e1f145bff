"""The stage ``extract_features``: the features of the cohort's volumes, which several evaluations compare."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from medsyn2.config import EvaluateFidConfig, EvaluateScoresConfig, GridConfig
from medsyn2.evaluation.features.extraction import describe_volume, make_spec
from medsyn2.evaluation.features.sizes import THUMBNAIL_WINDOW
from medsyn2.evaluation.features.volume_file import VolumeFile
from medsyn2.evaluation.held_out import Case, load_cases
from medsyn2.facts import CaseFacts
from medsyn2.store.artefacts import CaseWork, process_shard
from medsyn2.vocabulary import WINDOWS_HU, Window

Windows = tuple[Window, ...]


def extract_features(
    grid: GridConfig,
    evaluate_fid: EvaluateFidConfig,
    evaluate_scores: EvaluateScoresConfig,
    *,
    register: list[Path],
    samples: list[Path],
    reconstructions: list[Path],
    cache: Path,
    manifest: Path,
    settings: str,
) -> None:
    """Extract the features of some cases' volumes into the cache, where evaluations find them.

    Held-out volumes and those sampled for them are seen in all windows; training volumes, which are searched for copies
    and which the space of evaluate_scores is fitted to, and reconstructions in the windows of these evaluations. Every
    volume gets a thumbnail, and those seen in all windows their indices. Nothing that the cache has is made again.
    """
    spec = make_spec(grid, evaluate_fid, tuple(WINDOWS_HU))
    fitted = () if evaluate_scores.command else evaluate_scores.windows
    searched = tuple(window for window in WINDOWS_HU if window in {THUMBNAIL_WINDOW, *fitted})
    cohort = {
        case.name: case for case in load_cases(register, samples=samples, reconstructions=reconstructions, split=None)
    }

    def work(work: CaseWork, folder: Path) -> CaseFacts:
        case = cohort[work.case]
        for volume, windows in _volumes(case, searched):
            indices = len(windows) == len(WINDOWS_HU)
            describe_volume(volume, replace(spec, windows=windows), cache, thumbnail=True, indices=indices)
        return CaseFacts(case.subject, case.split)

    cases = [CaseWork(name, [volume.sha256 for volume, _ in _volumes(case, searched)]) for name, case in cohort.items()]
    process_shard("extract_features", manifest, cases, work, settings=settings, facts=CaseFacts)


def _volumes(case: Case, searched: Windows) -> Iterator[tuple[VolumeFile, Windows]]:
    """Yield the volumes of a case, and the windows that each is seen in."""
    yield case.volume, tuple(WINDOWS_HU) if case.split == "test" else searched
    if case.reconstruction:
        yield case.reconstruction, searched
    for volume in case.samples.values():
        yield volume, tuple(WINDOWS_HU)
