from pathlib import Path

from medsyn2.training.loss_log import LossLog


def log_steps(path: Path, first: int, last: int) -> None:
    log = LossLog(path, ("loss", "kl"), first)
    for step in range(first + 1, last + 1):
        log.append(step, {"loss": 1 / step} if step % 2 else {"loss": 1 / step, "kl": 0.1 * step})
    log.sync()
    log.close()


def test_rows_are_exact_and_missing_values_empty(tmp_path: Path) -> None:
    log_steps(tmp_path / "loss.csv", 0, 3)
    assert (tmp_path / "loss.csv").read_text() == f"step,loss,kl\n1,1.0,\n2,0.5,0.2\n3,{1 / 3!r},\n"


def test_an_interrupted_table_becomes_the_same_bytes(tmp_path: Path) -> None:
    log_steps(tmp_path / "whole.csv", 0, 9)
    path = tmp_path / "parts.csv"
    log_steps(path, 0, 7)
    path.write_bytes(path.read_bytes()[:-5])
    log_steps(path, 4, 9)
    assert path.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_table_with_other_columns_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "loss.csv"
    path.write_text("step,other\n1,2.0\n")
    log_steps(path, 1, 2)
    assert path.read_text() == "step,loss,kl\n2,0.5,0.2\n"
