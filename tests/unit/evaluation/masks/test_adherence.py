"""What the page says of the table of mask agreement."""

import pandas as pd

from medsyn2.evaluation.masks.adherence import mask_adherence


def test_what_the_table_says_of_a_structure() -> None:
    rows = [
        ("lungs", "requested", 0.95, 0.25),
        ("lungs", "shuffled", 0.8, None),
        ("lungs", "ceiling", 0.99, 0.05),
        ("lungs", "reconstructed_ct", 0.97, 0.15),
        ("heart", "requested", 1, None),
    ]
    table = pd.DataFrame(rows, columns=["structure", "comparison", "dice", "disagreement_ratio"])
    table = table.assign(
        condition="lobes", num=3, num_patients=2, disagreement_ratio_low=0.2, disagreement_ratio_high=0.3
    )
    (found,) = mask_adherence(table)
    assert found.structure == "lungs"
    assert (found.requested, found.shuffled, found.ceiling) == (0.95, 0.8, 0.99)
    assert (found.ratio, found.low, found.high, found.least) == (0.25, 0.2, 0.3, 0.05)
    assert (found.num, found.num_patients) == (3, 2)
    assert (found.reconstructed, found.num_reconstructed) == (0.97, 3)
    (without,) = mask_adherence(table[table["comparison"] != "reconstructed_ct"])
    assert without.num_reconstructed == 0
    assert mask_adherence(table.iloc[:0]) == []

    joint = table.assign(condition="report_and_lobes", dice=0.5)
    alone, together = mask_adherence(pd.concat([table, joint]))
    assert (alone.requested, together.requested) == (0.95, 0.5)
    assert (alone.subject, together.subject) == ("lungs", "lungs with the report")
