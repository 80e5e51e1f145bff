"""The stage ``sample``: a synthetic volume for each held-out case and condition."""

from pathlib import Path

from medsyn2.config import InferenceConfig, SampleConfig
from medsyn2.facts import InventoryFacts, MasksFacts, RegisterFacts, SampleFacts
from medsyn2.files import sha256_of
from medsyn2.flow import Sampling
from medsyn2.pipeline.conditions import Sampler, conditions_of, identity_of
from medsyn2.store.artefacts import CaseWork, load_manifest, process_shard


def sample(
    sample: SampleConfig,
    sampling: Sampling,
    inference: InferenceConfig,
    *,
    model: Path,
    inventory: Path,
    register: Path,
    masks: Path,
    manifest: Path,
    settings: str,
) -> None:
    """Sample the held-out cases of a shard: from their report alone, from masks alone, and from both together.

    Each condition gives ``<condition>.nii.gz`` on the grid of the registered volumes, marked as synthetic, and
    ``<condition>.json``, from which it can be made again. A structure is sampled where the case's mask of it is
    present, together with the report where there is one. In place of the report alone, a case without one is sampled
    from nothing, as ``neither``. A sample's seed follows from the configured one, the case and the condition, so that
    it is the same whatever else is sampled.
    """
    volumes = load_manifest(register, RegisterFacts).records
    listed = load_manifest(inventory, InventoryFacts).records
    masked = load_manifest(masks, MasksFacts).records
    held_out = [case for case, record in volumes.items() if record.facts.split == "test"]
    identity = sha256_of(model)
    conditions = {
        case: list(conditions_of(sample, listed[case], masked.get(case))) for case in held_out[: sample.max_cases]
    }
    cases = [
        CaseWork(
            case,
            {
                "model": identity,
                "subject": volumes[case].facts.subject,
                "conditions": [identity_of(condition, masked.get(case)) for condition in asked],
            },
        )
        for case, asked in conditions.items()
    ]
    sampler = Sampler(sample.seed, sampling, inference, model.parent, masked)

    def work(case: CaseWork, folder: Path) -> SampleFacts:
        samples = sampler.write(folder, case.case, conditions[case.case])
        return SampleFacts(volumes[case.case].facts.subject, "test", samples)

    process_shard("sample", manifest, cases, work, settings=settings, facts=SampleFacts)
