from medsyn2.evaluation.description.cost import extract_features
from tests.unit.planned import planned_run


def test_every_volume_is_read_once_and_seen_in_its_windows() -> None:
    # Two held-out cases with two samples each in four windows; six training cases and a reconstruction in one or two.
    changes = {"sample": {"structures": ["lobes"]}, "evaluate_tokenizer": {"max_cases": 1}}
    one = extract_features(planned_run(**changes, evaluate_scores={"windows": ["lung"]}))
    two = extract_features(planned_run(**changes, evaluate_scores={"windows": ["lung", "bone"]}))
    assert one.basis == "13 volumes, 31 times through the extractor in a window"
    assert two.basis == "13 volumes, 38 times through the extractor in a window"
    assert two.flops > one.flops > 0
    assert two.disk_bytes > one.disk_bytes
    asked = extract_features(planned_run(**changes, evaluate_scores={"windows": ["bone"], "command": ["embed"]}))
    assert asked.basis == one.basis


def test_a_protocol_of_a_few_volumes_is_left_to_the_evaluations() -> None:
    found = extract_features(planned_run(evaluate_fid={"protocol": "vlm3d"}))
    assert (found.jobs, found.flops) == (0, 0)
