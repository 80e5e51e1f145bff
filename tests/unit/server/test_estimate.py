import pytest

from medsyn2.server.estimate import Estimate


class Clock:
    def __init__(self):
        self.s = 0.0

    def __call__(self):
        return self.s


@pytest.fixture
def clock():
    return Clock()


def test_it_is_exact_for_steps_of_one_length(clock):
    estimate = Estimate(2, 6.0, clock)
    left = []
    for volume in range(2):
        for done in range(1, 5):
            clock.s += 2.0
            left.append(estimate.after("solve", done, 4) - (28 - clock.s))
        for done in range(1, 4):
            clock.s += 2.0
            left.append(estimate.after("decode", done, 3) - (28 - clock.s))
        if volume == 0:
            estimate.next_volume()
    assert left == pytest.approx([0.0] * 14)


def test_previews_are_no_steps_and_tell_how_long_decoding_takes(clock):
    estimate = Estimate(1, None, clock)
    clock.s = 1.0
    assert estimate.after("solve", 1, 10) == pytest.approx(9.0)  # decoding is not known
    clock.s += 5.0
    estimate.add_preview(5.0)
    clock.s += 1.0
    assert estimate.after("solve", 2, 10) == pytest.approx(8.0 + 5.0)
    assert estimate.preview_s == 5.0


def test_nothing_is_said_while_nothing_is_known(clock):
    assert Estimate(1, None, clock).after("decode", 1, 4) is None
