from pathlib import Path

import torch

from medsyn2.training.engine.loss_log import LossLog

COLUMNS = ("loss", "kl")


def log_steps(path: Path, table: torch.Tensor | None, last: int) -> torch.Tensor:
    log = LossLog(path, COLUMNS, table)
    for step in range(1 if table is None else len(table) + 1, last + 1):
        log.append({"loss": 1 / step} if step % 2 else {"loss": 1 / step, "kl": 0.1 * step})
    log.close()
    return log.table()


def test_rows_are_exact_and_missing_values_empty(tmp_path: Path) -> None:
    log_steps(tmp_path / "loss.csv", None, 3)
    assert (tmp_path / "loss.csv").read_text() == f"step,loss,kl\n1,1.0,\n2,0.5,0.2\n3,{1 / 3!r},\n"


def test_a_table_is_the_same_after_it_was_taken_up_again(tmp_path: Path) -> None:
    whole = log_steps(tmp_path / "whole.csv", None, 9)
    path = tmp_path / "parts.csv"
    table = log_steps(path, None, 7)[:4]
    path.write_text("lost")
    again = log_steps(path, table, 9)
    assert path.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert torch.equal(again.nan_to_num(-1), whole.nan_to_num(-1))


def test_rows_can_be_read_while_they_are_written(tmp_path: Path) -> None:
    log = LossLog(tmp_path / "loss.csv", COLUMNS, None)
    assert log.table().shape == (0, 2)
    log.append({"loss": 2.0, "kl": float("inf")})
    assert (tmp_path / "loss.csv").read_text() == "step,loss,kl\n1,2.0,inf\n"
    log.close()
