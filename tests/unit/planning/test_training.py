from medsyn2.planning.costs import Cost


def test_training_keeps_more_than_running_the_same_network(found: dict[str, Cost]) -> None:
    assert found["train_dit"].device_bytes > 16 * 1000
    assert found["train_tokenizer"].device_bytes > 0
