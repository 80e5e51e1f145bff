"""Seeds of samples."""

from medsyn2.pipeline.seeds import derive_seed


def test_seeds_differ_between_cases_and_conditions_and_follow_the_configured_one():
    seeds = {derive_seed(s, case, name) for s in (0, 1) for case in "ab" for name in ("report", "heart")}
    assert len(seeds) == 8
    assert derive_seed(0, "a", "report") == derive_seed(0, "a", "report")
    assert all(0 <= seed < 2**32 for seed in seeds)
