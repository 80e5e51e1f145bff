import torch

from medsyn2.training.engine.draws import generator_of, item_of, seed_of


def test_a_place_has_its_own_draws() -> None:
    seeds = {seed_of(s, name, n) for s in range(4) for name in ("a", "b") for n in range(50)}
    assert len(seeds) == 400
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_same_place_gives_the_same_numbers() -> None:
    first, second = (torch.randn(3, generator=generator_of(1, "x", 2)) for _ in range(2))
    assert torch.equal(first, second)


def test_places_cannot_be_confused() -> None:
    assert seed_of(1, "a", 23) != seed_of(1, "a2", 3)
    assert seed_of(1, 2, 3) != seed_of(1, "2", 3)


def test_every_item_is_seen_once_an_epoch_in_ever_new_orders() -> None:
    epochs = [[item_of(5, epoch * 10 + place, 10) for place in range(10)] for epoch in range(20)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 20
    assert epochs[3] == [item_of(5, 30 + place, 10) for place in range(10)]


def test_first_items_are_spread_evenly() -> None:
    firsts = [item_of(0, epoch * 4, 4) for epoch in range(2000)]
    for item in range(4):
        assert abs(firsts.count(item) - 500) < 5 * (2000 * 0.25 * 0.75) ** 0.5
