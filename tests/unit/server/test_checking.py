import pytest

from medsyn2.server.checking import side_of


def test_a_check_says_that_noise_shows_no_lungs(page, item):
    """The tiny model makes no chest: nothing is judged, and the record says why."""
    job = page.post(f"/api/items/{item['id']}/check").json()["job"]
    assert job["state"] == "done"
    check = page.client.get(f"/api/items/{item['id']}").json()["check"]
    assert check["problem"]
    assert (check["segmenter"], check["dice"], check["asked_side"]) == ("classical", None, side_of(-0.6))
    assert check["asked_ml"] > 0


@pytest.mark.parametrize(
    ("laterality", "side"), [(None, None), (1.0, "left"), (-0.9, "right"), (0.0, "both"), (0.3, "both"), (0.4, "left")]
)
def test_a_side_is_where_twice_as_much_is(laterality, side):
    assert side_of(laterality) == side
