"""Any folder of volumes is compared, and what would make the comparison false is refused."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import BertConfig, BertModel

from medsyn2.cli import main
from medsyn2.ct.nifti.files import write_ct
from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.evaluation.features.banks import Bank, BankFacts, Part, write_bank
from medsyn2.evaluation.vlm3d.ct_clip import CTClip, Sizes
from medsyn2.evaluation.vlm3d.ctnet import CTNet
from medsyn2.formats import read_ct
from medsyn2.formats import write_ct as write_volume
from medsyn2.nn.text_encoder import describe_bert, write_encoder
from medsyn2.weights.tensors import save_component


def chest(seed: int, lung_hu: float = -850.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    hu = rng.normal(40, 30, (16, 40, 40))
    hu[:, :8] = rng.normal(-1015, 3, (16, 8, 40))
    hu[:, 14:34, 6:34] = rng.normal(lung_hu, 40, (16, 20, 28))
    hu[:, 18:30, 18 + seed % 3 : 23] = 50
    hu[4:8, 36:38, 10:30] = 1100
    return np.rint(hu)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for side, shift, lung in (("real", 0, -850.0), ("synthetic", 100, -780.0)):
        (tmp_path / side).mkdir()
        for seed in range(5):
            write(tmp_path / side / f"{seed}.nii.gz", chest(seed + shift, lung))
    return tmp_path


def write(path: Path, hu: np.ndarray, spacing_mm: float = 4.0) -> None:
    affine = axis_aligned_affine((spacing_mm,) * 3, (0.0, 0.0, 0.0))
    write_ct(path, CTVolume(hu.astype(np.int16), affine))


def evaluate(folder: Path, *options: str) -> int:
    given = ["--real", folder / "real", "--synthetic", folder / "synthetic", "--out", folder / "out"]
    return main(["evaluate", *map(str, given), "--slices", "6", "--draws", "8", *options])


def networks(folder: Path) -> list[str]:
    """Write the challenge's networks in small sizes and its table of prompts, and return the options that name them."""
    torch.manual_seed(0)
    sizes = {"slices": 3, "side": 168}
    save_component(folder / "ct-net/ct-net.json", CTNet(**sizes), kind="ct-net", config=sizes)
    towers = Sizes((8, 16, 16), 8, 4, 8, 2, 4, (1, 1), 5, 6, 8)
    network = CTClip(towers)
    network.visual_transformer.vq["_codebook"].embed.normal_()
    save_component(folder / "ct-clip/ct-clip.json", network, kind="ct-clip", config=asdict(towers))
    config = BertConfig(vocab_size=5, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    bert = BertModel(config, add_pooling_layer=False)
    write_encoder(
        folder / "ct-clip/text_encoder",
        config=describe_bert(bert),
        state=bert.state_dict(),
        vocabulary=b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n",
        tokenizer={"do_lower_case": True},
    )
    rows = ["Names,Text_prompts", *(f"{number}.mha,No effusion." for number in range(5))]
    (folder / "prompts.csv").write_text("\n".join(rows), encoding="utf-8")
    net, clip, prompts = (folder / name for name in ("ct-net/ct-net.json", "ct-clip", "prompts.csv"))
    return ["--ct-net", str(net), "--ct-clip", str(clip), "--prompts", str(prompts)]


def test_a_table_with_every_window_and_plane_and_the_challenge_s_numbers(folders: Path) -> None:
    """The synthetic volumes lie in a folder of MetaImages, as other generators publish theirs."""
    for path in (folders / "synthetic").iterdir():
        write_volume(path.with_name(f"{path.name[0]}.mha"), read_ct(path))
        path.unlink()
    assert evaluate(folders, *networks(folders)) == 0
    numbers = pd.read_csv(folders / "out/vlm3d.csv").set_index("number")
    assert list(numbers.index) == ["FVD_CTNet", "FVD_CTNet_all", "CLIPScore", "CLIPScore_I2I", "CLIPScore_mean"]
    assert (numbers["num_volumes"] == 5).all()
    assert numbers.loc["FVD_CTNet", "num_groups"] == 1  # of four; the fifth volume is alone
    assert "noise" in numbers.loc["FVD_CTNet", "note"]
    assert numbers["value"].notna().all()
    table = pd.read_csv(folders / "out" / "fid.csv")
    assert len(table) == 2 * 16
    assert set(table["condition"]) == {"real", "synthetic"}
    table = table[table["condition"] == "synthetic"]
    assert (table["num_real"] == 5).all()
    lung = table[table["window"] == "lung"]
    assert (lung["fid_at_floor"] > lung["floor"]).all()
    assert all((folders / "out" / window / "real.json").is_file() for window in set(table["window"]))


def test_a_wrong_header_is_found_and_stated(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (folders / "synthetic").iterdir():
        write(path, chest(int(path.name[0])), spacing_mm=1.0)
    assert evaluate(folders) == 10
    assert "[banks-differ]" in capsys.readouterr().err
    assert evaluate(folders, "--synthetic-spacing-mm", "4", "4", "4") == 0


def test_a_ceiling_of_the_generator_is_found_and_stated(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (folders / "synthetic").iterdir():
        write(path, np.minimum(chest(int(path.name[0])), 600))
    assert evaluate(folders) == 10
    assert "[hu-range-differs]" in capsys.readouterr().err
    assert evaluate(folders, "--clip-hu", "-1024", "600") == 0
    table = pd.read_csv(folders / "out" / "fid.csv")
    assert table.loc[table["condition"] == "synthetic", "fid"].abs().max() < 1e-2  # the same, once both are cut


def test_values_that_are_no_hu_are_refused(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folders / "synthetic" / "0.nii.gz", chest(0) + 1024)
    assert evaluate(folders) == 1
    assert "--synthetic-in-hu" in capsys.readouterr().err


def test_patients_are_grouped(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folders / "patients.csv").write_text(
        "id,patient\n" + "".join(f"{i},p{i // 2}\n" for i in range(5)), encoding="utf-8"
    )
    assert evaluate(folders, "--patients", str(folders / "patients.csv")) == 0
    table = pd.read_csv(folders / "out" / "fid.csv")
    assert (table.loc[table["condition"] == "synthetic", "num_patients"] == 3).all()
    (folders / "patients.csv").write_text("name\nx\n", encoding="utf-8")
    assert evaluate(folders, "--patients", str(folders / "patients.csv")) == 10
    assert "[patients-unreadable]" in capsys.readouterr().err
    (folders / "patients.csv").write_text("id,patient\n7.nii.gz,p\n", encoding="utf-8")
    assert evaluate(folders, "--patients", str(folders / "patients.csv")) == 10
    assert "patients.csv has 1 rows that name no volume: row 2, 7" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--clip-hu", "600", "-1024"), "--clip-hu is 600 -1024"),
        (("--clip-hu", "nan", "600"), "--clip-hu is nan 600"),
        (("--clip-hu", "-1024", "600", "--protocol", "maisi"), "no effect on the protocol maisi"),
        (("--slices", "0"), "slices_per_volume"),
        (("--draws", "-3"), "num_draws"),
        (("--real-spacing-mm", "1", "0", "1"), "--real-spacing-mm is 1 0 1"),
        (("--tiles", "--radimagenet", "weights"), "tiles are of the weight-free filters"),
        (("--banks", "real.json", "other.json"), "expected --real and --synthetic, or --banks alone"),
    ],
)
def test_impossible_settings_are_named(
    folders: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], named: str
) -> None:
    assert evaluate(folders, *options) == 2
    assert named in capsys.readouterr().err
    assert not (folders / "out").exists()


def test_every_volume_is_judged_by_itself(folders: Path) -> None:
    assert evaluate(folders) == 0
    judged = pd.read_csv(folders / "out" / "indices.csv")
    assert set(judged["source"]) == {"real", "synthetic"}
    assert len(pd.read_csv(folders / "out" / "index_cases.csv")) == 10
    assert (folders / "out" / "indices.png").is_file()


def test_banks_of_another_program_are_compared_without_a_frechet_distance_of_few(
    folders: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(0)
    places = []
    for source, shift in (("real", 0.0), ("theirs", 2.0)):
        facts = BankFacts(
            source if source == "real" else "synthetic", source, "net", "0", "itself", {}, "0", (0, 1), None
        )
        names = tuple(f"{source}{index}" for index in range(8))
        part = Part(rng.normal(shift, 1, (8, 16)).astype(np.float32), np.arange(8))
        places.append(folders / f"{source}.json")
        write_bank(places[-1], Bank(facts, names, names, {"image": part}))
    assert main(["evaluate", "--banks", *map(str, places), "--out", str(folders / "out")]) == 0
    assert "no Frechet distance: 8 patients in a set" in caplog.text
    table = pd.read_csv(folders / "out" / "banks.csv").set_index("condition")
    assert table.index.tolist() == ["real", "theirs"]
    assert table["fid"].isna().all()
    assert table.loc["theirs", "mmd"] > table.loc["theirs", "mmd_floor"]


def test_volumes_without_a_partner_are_refused_before_anything_is_computed(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--ct-net", "net.json", "--ct-clip", "clip", "--prompts", str(folders / "prompts.csv")]
    assert evaluate(folders, *given[:4]) == 2
    assert "[option-without-effect]" in capsys.readouterr().err
    (folders / "prompts.csv").write_text("Names,Text_prompts\n0.mha,No effusion.\n", encoding="utf-8")
    assert evaluate(folders, *given) == 10
    assert "[prompts-unmatched]" in capsys.readouterr().err
    (folders / "synthetic/0.nii.gz").rename(folders / "synthetic/other.nii.gz")
    assert evaluate(folders, *given) == 10
    assert "[challenge-unpaired]" in capsys.readouterr().err
    assert not (folders / "out").exists()
