"""The ratio of disagreements."""

import pandas as pd
import pytest

from medsyn2.page.agreement import followings


def test_ratio_of_disagreements() -> None:
    rows = [
        ("lungs", "requested", 0.95),
        ("lungs", "shuffled", 0.8),
        ("lungs", "ceiling", 0.99),
        ("lungs", "reconstructed_ct", 0.97),
        ("heart", "requested", 1),
    ]
    table = pd.DataFrame([{"structure": s, "comparison": c, "dice": d, "num": 3} for s, c, d in rows])
    (found,) = followings(table)
    assert found.structure == "lungs"
    assert found.ratio == pytest.approx(0.25)
    assert (found.reconstructed, found.num_reconstructed) == (0.97, 3)
    (without,) = followings(table[table["comparison"] != "reconstructed_ct"])
    assert without.num_reconstructed == 0
    assert followings(table.iloc[:0]) == []
