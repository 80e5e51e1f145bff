"""``medsyn2 plan``."""

from medsyn2.cli import main
from medsyn2.commands.plan import table, total
from medsyn2.planning.costs import Cost, Speed

COSTS = [
    Cost("register", 2, 7200.0, 0.0, 2e9, 0.0, 3e9, "voxels"),
    Cost("train_dit", 1, 0.0, 3.6e15, 1e9, 5e9, 1e9, "steps"),
]


def test_hours_are_of_cores_and_of_the_device() -> None:
    text = total(COSTS, Speed(1e12, 4e12), cores=4)
    assert "2 CPU hours (0.5 on 4 cores) and 1 hours of one device" in text
    assert "2 GB (register); on the device 5 GB (train_dit)" in text
    assert "Disk: 4 GB" in text


def test_what_is_unknown_is_shown_and_makes_the_sum_a_lower_bound() -> None:
    costs = [*COSTS, Cost("segment", 1, None)]
    assert "?" in table(costs, Speed(1e12, 1e12)).splitlines()[-1]
    text = total(costs, Speed(1e12, 1e12), 4)
    assert "at least 2 CPU hours" in text
    assert text.endswith("the time of segment.")


def test_the_default_configuration_is_planned(tmp_path, capsys, monkeypatch) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "cohort: {num_phantoms: 8}\ngrid: {shape: [16, 32, 32]}\ntokenizer: {hidden_channels: 4}\n"
        "train_tokenizer: {crop_shape: [16, 32, 32], initial_weights: null}\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    on_top = tmp_path / "on_top.yaml"
    on_top.write_text("cohort: {test_every: 2}\n", encoding="utf-8")
    for given, held_out in (([mine], 2), ([mine, on_top], 4)):
        assert main(["plan", "--config", *map(str, given), "--tflops", "1", "--cores", "8"]) == 0
        text = capsys.readouterr().out
        assert text.startswith(f"8 cases in 1 shards, {held_out} of them held out")
        assert "Networks on the given device: 1 TFLOP/s in bfloat16, 1 in float32" in text
    assert set(tmp_path.iterdir()) == {mine, on_top}


def test_a_missing_table_is_named_after_the_plan(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cts").mkdir()
    for name in "abcd":
        (tmp_path / f"cts/{name}.nii").touch()
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "cohort: {data_dir: cts, labels_csv: labels.csv}\ngrid: {shape: [16, 32, 32]}\n"
        "tokenizer: {hidden_channels: 4}\ntrain_tokenizer: {crop_shape: [16, 32, 32], initial_weights: null}\n",
        encoding="utf-8",
    )
    assert main(["plan", "--config", str(mine), "--tflops", "1"]) == 2
    shown = capsys.readouterr()
    assert "4 cases in 1 shards" in shown.out
    assert "[input-file-missing] cohort.labels_csv names labels.csv" in shown.err
