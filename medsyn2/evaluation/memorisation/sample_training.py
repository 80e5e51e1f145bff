"""The stage ``sample_training``: volumes of the first training cases' own requests, among which copies are sought.

A generator that has learnt its training volumes by heart gives them back when it is asked with their own masks or
reports. Requests of held-out cases would never show it.
"""

from pathlib import Path

from medsyn2.config import EvaluateMemorisationConfig, InferenceConfig, SampleConfig
from medsyn2.evaluation.held_out import load_cases
from medsyn2.facts import SampleFacts
from medsyn2.files import sha256_of
from medsyn2.flow import Sampling
from medsyn2.pipeline.conditions import Sampler, conditions_of, identity_of
from medsyn2.store.artefacts import CaseWork, process_shard


def sample_training(
    sample: SampleConfig,
    sampling: Sampling,
    inference: InferenceConfig,
    evaluate_memorisation: EvaluateMemorisationConfig,
    *,
    model: Path,
    inventory: list[Path],
    register: list[Path],
    masks: list[Path],
    manifest: Path,
    settings: str,
) -> None:
    """Sample the requests of the first training cases, as ``sample`` does those of held-out cases.

    A stopped job goes on with the next case.
    """
    cases = load_cases(register, inventory=inventory, masks=masks, split="train")
    asked = {case.name: case for case in cases[: evaluate_memorisation.num_prompts]}
    masked = {name: case.masked for name, case in asked.items() if case.masked is not None}
    conditions = {
        name: list(conditions_of(sample, case.listed, case.masked)) for name, case in asked.items() if case.listed
    }
    identity = sha256_of(model)
    work = [
        CaseWork(
            name,
            {
                "model": identity,
                "subject": asked[name].subject,
                "conditions": [identity_of(one, asked[name].masked) for one in requests],
            },
        )
        for name, requests in conditions.items()
    ]
    sampler = Sampler(sample.seed, sampling, inference, model.parent, masked)

    def make(case: CaseWork, folder: Path) -> SampleFacts:
        samples = sampler.write(folder, case.case, conditions[case.case])
        return SampleFacts(asked[case.case].subject, "train", samples)

    process_shard("sample_training", manifest, work, make, settings=settings, facts=SampleFacts)
