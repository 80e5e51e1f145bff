"""The table of indices in words, a line a set: the one thing to read before any distance."""

from collections.abc import Iterator

import pandas as pd

from medsyn2.facts import REAL


def index_lines(table: pd.DataFrame) -> Iterator[str]:
    """Yield a line for each set of the table of `indices`, *emphasised* as captions are."""
    flagged = table["flag"].fillna("") != ""
    for source in table["source"].unique():
        rows = table[table["source"] == source]
        num = int(rows["num_volumes"].max())
        share = rows["outside_percent"].mean()
        if source == REAL:
            told = (
                "no range: too few patients"
                if pd.isna(share)
                else f"{share:.1f} % outside the others' range, on average"
            )
            yield f"*{source}*, {num} volumes: {told} over the indices; set the others against it."
            continue
        words = [
            f"*{row['index']}* {row['flag']} ({row['outside_percent']:.0f} % outside, {row['median']:.3g}, "
            f"real {row['limit_low']:.3g} to {row['limit_high']:.3g})"
            for row in rows[flagged[rows.index]].to_dict("records")
        ]
        yield f"*{source}*, {num} SYNTHETIC volumes: {'; '.join(words) if words else 'no index is flagged'}."
