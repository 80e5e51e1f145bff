"""The printed tables are whole."""

from medsyn2.evaluation.paper.printed import PRINTED, maker_of, unit_of


def test_every_table_is_there_with_its_shape() -> None:
    shapes = {number: table.shape for number, table in PRINTED.items()}
    assert shapes == {
        "1": (4, 16), "2": (5, 4), "3": (5, 4), "4": (4, 3), "5": (5, 4), "6": (8, 4), "7": (9, 12), "8": (5, 12),
    }  # fmt: skip
    assert PRINTED["2"].isna().sum().sum() == 2
    assert PRINTED["7"].loc["Lobe"].isna().sum() == 8
    assert (PRINTED["4"].sum(axis=1) == 75).all()


def test_every_number_has_a_unit_and_a_maker() -> None:
    for number, table in PRINTED.items():
        for row, column in table.stack().dropna().index:
            assert unit_of(number, column) or number == "1"
            assert maker_of(number, row, column)
    assert maker_of("7", "Lobe", "gen_gt dice") == "lungmask"
    assert maker_of("7", "Airway", "rec_gt dice") == "the tokenizer alone"
