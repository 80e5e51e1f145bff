"""What a generator that knows its latents by heart would make is found, named and drawn; honest samples are not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from medsyn2.config import EvaluateFidConfig, EvaluateMemorisationConfig, GridConfig, InferenceConfig
from medsyn2.ct.intensity import hu_to_unit, unit_to_hu
from medsyn2.ct.nifti.files import write_ct
from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.errors import EnvironmentFault
from medsyn2.evaluation.memorisation.evaluate_memorisation import (
    COLUMNS,
    CONTROLS,
    credible_searches,
    evaluate_memorisation,
)
from medsyn2.facts import CT_FILE, LatentOrigin, LatentsFacts, ReconstructionFacts, RegisterFacts, SampleFacts
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.store.latents import write_latents
from medsyn2.weights.tensors import save_component
from tests.unit.records import latents_facts, reconstruction_facts, register_facts, sample_facts, write_shard

SHAPE, SPACING_MM, CLIP_HU = (16, 80, 80), (10.0, 4.0, 4.0), (-1024.0, 1024.0)
GRID = GridConfig(shape=SHAPE, spacing_mm=SPACING_MM, clip_hu=CLIP_HU)
AFFINE = axis_aligned_affine(SPACING_MM, (0.0, 0.0, 0.0))
NETWORK = {"hidden_channels": 4, "num_res_blocks": 1, "norm_groups": 2}
SPLITS = {**{f"t{i}": "train" for i in range(8)}, **{f"h{i}": "test" for i in range(6)}}
COPIED = "t5"
RIDGE = 1e-3


def chest(seed: int) -> np.ndarray:
    """Return a body with two lungs and a consolidation in each, all of which differ from seed to seed."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices(SHAPE) / np.array(SHAPE)[:, None, None, None]
    body = rng.uniform(0.36, 0.46), rng.uniform(0.42, 0.49)
    hu = np.where(((y - 0.5) / body[0]) ** 2 + ((x - 0.5) / body[1]) ** 2 < 1, 40.0, -1000.0)
    for middle in (0.28, 0.72):
        at = 0.5 + rng.uniform(-0.1, 0.1), middle + rng.uniform(-0.05, 0.05)
        half = rng.uniform(0.18, 0.3), rng.uniform(0.12, 0.19)
        inside = ((y - at[0]) / half[0]) ** 2 + ((x - at[1]) / half[1]) ** 2 < 1
        hu[inside & (z >= rng.uniform(0, 0.3))] = -850
        place = rng.uniform((0.1, 0.3, middle - 0.12), (0.9, 0.7, middle + 0.12))
        away = (z - place[0]) ** 2 + (y - place[1]) ** 2 + (x - place[2]) ** 2
        hu[away < rng.uniform(0.16, 0.24) ** 2] = 60
    return (hu + rng.normal(0, 25, SHAPE)).astype(np.int16)


REAL = {case: chest(index) for index, case in enumerate(SPLITS)}


def set_kernel(name: str, weight: torch.Tensor, generator: torch.Generator) -> None:
    """Average in steps down, repeat in steps up, add nothing in residual branches, and mix channels in all others."""
    own = weight[:, :, -1] if weight.ndim == 5 else weight
    channels = torch.arange(len(weight))
    mixing = torch.randn(weight.shape, generator=generator) / weight[0].numel() ** 0.5
    weight.zero_()
    if ".downsample" in name:
        if weight.ndim == 5 and weight.shape[2] > 1:  # padding in depth is in front
            weight[channels, channels, 1:, :2, :2] = 1 / 8
        else:
            weight[channels, channels, ..., :2, :2] = 1 / 4
    elif ".upsample" in name:
        own[channels, channels, 1, 1] = 1
    elif "quant_conv" in name:
        weight.copy_(torch.eye(len(weight)).reshape(weight.shape))
    elif ".conv_in" in name or ".conv_out" in name:
        own[:, :, 1, 1] = torch.randn(weight.shape[:2], generator=generator) / weight.shape[1] ** 0.5
    elif ".conv2" not in name and ".proj_out" not in name:
        weight.copy_(mixing)


@torch.no_grad()
def small_tokenizer() -> CausalVideoVAE:
    """Return a blur whose ends mix channels but not voxels, and whose last layer is fitted to two volumes."""
    generator = torch.Generator().manual_seed(0)
    network = CausalVideoVAE(**NETWORK).eval()
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            if module.bias is not None:
                module.bias.zero_()
            set_kernel(name, module.weight, generator)
    network.get_parameter("encoder.conv_out.conv.weight")[network.latent_channels :] = 0
    last, seen = network.get_submodule("decoder.conv_out"), []
    hook = last.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0][0].flatten(1).T))
    values = [torch.from_numpy(hu_to_unit(REAL[case], CLIP_HU)) for case in ("t0", "t1")]
    for value in values:
        network.decode(network.encode(value[None, None]).mode())
    hook.remove()
    inputs = torch.cat(seen).double()
    inputs = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1)
    wanted = torch.cat([value.flatten() for value in values]).double()
    # A ridge, or channels that are nearly alike would be subtracted from each other, and noise with them.
    squares = inputs.T @ inputs + RIDGE * len(inputs) * torch.eye(inputs.shape[1])
    fitted = torch.linalg.solve(squares, inputs.T @ wanted)
    weight, bias = (last.get_parameter(f"conv.{name}") for name in ("weight", "bias"))
    weight.zero_()
    weight[:, :, -1, 1, 1] = fitted[:-1]
    bias.fill_(float(fitted[-1]))
    return network


class Generator:
    """The tokenizer of the tests, with the latents of all real volumes."""

    def __init__(self) -> None:
        self.network = small_tokenizer()
        with torch.inference_mode():
            self.latents = {
                case: self.network.encode(torch.from_numpy(hu_to_unit(hu, CLIP_HU))[None, None]).mode()[0]
                for case, hu in REAL.items()
            }

    def volume(self, case: str, noise: float = 0.0) -> np.ndarray:
        """Decode the latents of a case, moved by a share of their spread."""
        latents = self.latents[case]
        step = torch.randn(latents.shape, generator=torch.Generator().manual_seed(1)) * noise
        step *= latents.std(dim=(1, 2, 3), keepdim=True)
        with torch.inference_mode():
            return unit_to_hu(self.network.decode((latents + step)[None])[0, 0].numpy(), CLIP_HU)


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator()


@pytest.fixture
def run(tmp_path: Path, generator: Generator) -> Callable[..., tuple[pd.DataFrame, pd.DataFrame]]:
    def registered(case: str, folder: Path) -> RegisterFacts:
        write_ct(folder / CT_FILE, CTVolume(REAL[case], AFFINE))
        return register_facts(f"subject {case}", SPLITS[case])

    def reconstructed(case: str, folder: Path) -> ReconstructionFacts:
        write_ct(folder / CT_FILE, CTVolume(generator.volume(case), AFFINE))
        return reconstruction_facts()

    def encoded(case: str, folder: Path) -> LatentsFacts:
        latents = generator.latents[case]
        write_latents(folder, case, latents.numpy().astype(np.float16), {})
        origin = LatentOrigin("tokenizer", CLIP_HU, None, 0.25, tuple(latents.shape))
        return latents_facts(case, origin=origin)

    def searched(
        synthetic: dict[str, np.ndarray],
        real: tuple[str, ...] = tuple(SPLITS),
        latents: tuple[str, ...] = tuple(case for case, split in SPLITS.items() if split == "train"),
        recalled: dict[str, np.ndarray] | None = None,
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        def sampled(case: str, folder: Path) -> SampleFacts:
            write_ct(folder / "report.nii.gz", CTVolume(synthetic[case], AFFINE))
            return sample_facts(f"subject {case}", {"report": None})

        def asked_again(case: str, folder: Path) -> SampleFacts:
            assert recalled is not None
            write_ct(folder / "report.nii.gz", CTVolume(recalled[case], AFFINE))
            return sample_facts(f"subject {case}", {"report": None})

        tokenizer = tmp_path / "tokenizer.json"
        save_component(tokenizer, generator.network, kind="tokenizer", config=NETWORK)
        places = {name: tmp_path / name for name in ("banks", "cache", "table", "pairs", "sheet")}
        evaluate_memorisation(
            GRID,
            EvaluateFidConfig(slices_per_volume=2),
            EvaluateMemorisationConfig(num_pairs=1, num_copies=4),
            InferenceConfig(),
            register=[write_shard(tmp_path / "register/0000.json", RegisterFacts, real, registered)],
            samples=[write_shard(tmp_path / "sample/0000.json", SampleFacts, synthetic, sampled)],
            recalled=write_shard(tmp_path / "sample_training/requests.json", SampleFacts, recalled or {}, asked_again),
            latents=[write_shard(tmp_path / "encode_latents/0000.json", LatentsFacts, latents, encoded)],
            tokenizer=tokenizer,
            reconstructions=[
                write_shard(tmp_path / "reconstruct/0000.json", ReconstructionFacts, ["h0", "h1"], reconstructed)
            ],
            **places,
        )
        assert places["sheet"].read_bytes().startswith(b"\x89PNG")
        return pd.read_csv(places["table"]), pd.read_csv(places["pairs"])

    return searched


def row_of(table: pd.DataFrame, condition: str, by: str, prompts: str = "held_out") -> pd.Series:
    prompts = "none" if condition in CONTROLS else prompts
    chosen = (table["condition"] == condition) & (table["by"] == by) & (table["prompts"] == prompts)
    (found,) = table[chosen].index
    return table.loc[found]


def test_a_copy_is_found_after_the_tokenizer_and_others_are_not(run, generator) -> None:
    copy, honest = generator.volume(COPIED, noise=0.1), generator.volume("h4")
    table, pairs = run({"h2": copy, "h3": chest(50), "h4": honest})
    assert list(table.columns) == COLUMNS
    assert len(table) == 9
    row = row_of(table, "report", "thumbnails")
    counts = ["num_train", "num_held_out", "num_synthetic", "num_patients", "num_suspect"]
    assert row[counts].tolist() == [8, 6, 3, 3, 1]
    assert row["suspect_low"] < row["suspect_percent"] < row["suspect_high"]
    assert row["suspect_patients"] == 1
    # Of three samples and six held-out volumes, the nearest is a sample by chance in one of three.
    assert (row["expected_by_chance"], row["p_by_chance"]) == (
        pytest.approx(3 / 7, rel=1e-4),
        pytest.approx(1 / 3, rel=1e-4),
    )
    # h4 after the tokenizer is nearest to itself, the copy and the stranger to others than their cases.
    assert (row["own_nearer_percent"], row["num_own"]) == (pytest.approx(100 / 3, rel=1e-4), 3)
    assert row_of(table, "report", "either")["num_suspect"] >= 1
    first = pairs[pairs["condition"] == "report"].iloc[0]
    assert first[["case", "by", "nearest_training_case", "suspect"]].tolist() == ["h2", "thumbnails", COPIED, True]
    assert first["contrast"] == pytest.approx(row["smallest_contrast"], rel=1e-4)
    assert first["correlation"] == pytest.approx(row["largest_correlation"], rel=1e-4)
    assert (pairs["extractor"] == row["extractor"]).all()
    assert row["largest_correlation"] > row["largest_held_out_correlation"]


def test_a_generator_that_answers_training_prompts_with_training_volumes_is_found(run, generator) -> None:
    honest = {"h3": chest(50), "h4": chest(51), "h5": chest(52)}
    by_heart = {case: generator.volume(case, noise=0.05) for case in ("t1", "t3", "t4")}
    table, pairs = run(honest, recalled=by_heart)
    held_out, training = (row_of(table, "report", "thumbnails", prompts) for prompts in ("held_out", "training"))
    assert training[["num_synthetic", "num_suspect", "suspect_patients"]].tolist() == [3, 3, 3]
    assert training["own_nearer_percent"] == 100
    # The three nearest of three samples and six held-out volumes.
    assert training["p_by_chance"] == pytest.approx(1 / 84, rel=1e-3)
    # Strangers, of whom one resembles the case that he stands for more than he does eight training cases.
    assert held_out["own_nearer_percent"] < 50
    assert held_out["p_by_chance"] > 0.05
    first = pairs[pairs["prompts"] == "training"].iloc[0]
    assert first["case"] == first["nearest_training_case"]


def test_controls_show_that_the_search_finds_copies_and_leaves_others_alone(run, generator) -> None:
    table, pairs = run({"h2": chest(50), "h3": generator.volume("h3")})
    copies, others = (row_of(table, name, "thumbnails") for name in ("copies", "held_out_reconstructed"))
    assert copies[["num_synthetic", "num_suspect", "copies_found_percent"]].tolist() == [4, 4, 100]
    assert copies["authenticity_percent"] == 0
    assert (others["own_nearer_percent"], others["num_own"]) == (100, 2)
    assert copies["own_nearer_percent"] == 100
    assert others[["num_synthetic", "num_suspect"]].tolist() == [2, 0]
    assert copies["copying_z"] < others["copying_z"]
    control = pairs[(pairs["condition"] == "copies") & (pairs["by"] == "thumbnails")]
    assert control["case"].tolist() == control["nearest_training_case"].tolist()
    assert set(control["case"]) == {"t0", "t2", "t5", "t7"}
    assert (table.loc[table["by"] == "thumbnails", "copies_found_percent"] == 100).all()


@torch.no_grad()
def test_controls_show_when_the_search_finds_nothing(run, generator) -> None:
    """A tokenizer that loses everything makes copies that nobody could find, and the table says so."""
    weight = generator.network.get_parameter("decoder.conv_out.conv.weight")
    kept = weight.clone()
    try:
        weight.zero_()
        table, _ = run({"h2": chest(50)})
    finally:
        weight.copy_(kept)
    assert (table.loc[table["by"] == "thumbnails", "copies_found_percent"] == 0).all()


@pytest.mark.parametrize(
    ("thumbnails", "features", "credible"),
    [(100, 17, ["thumbnails"]), (0, 50, ["features"]), (83, 67, ["thumbnails", "features"]), (33, 17, None)],
)
def test_a_search_that_misses_most_copies_has_no_say(thumbnails, features, credible) -> None:
    percents = {"thumbnails": thumbnails, "features": features}
    found = {by: {"copies_found_percent": percent} for by, percent in percents.items()}
    assert credible_searches(found) == (credible or ["thumbnails", "features"])


def test_too_few_cases_say_so(run) -> None:
    with pytest.raises(EnvironmentFault, match=r"too-few-cases.*2 training cases, 4 held out"):
        run({"h2": chest(50)}, real=("t0", "t1", "h0", "h1", "h2", "h3"))


def test_without_latents_there_is_no_control(run) -> None:
    with pytest.raises(EnvironmentFault, match=r"too-few-cases.*of 8 training cases none has latents"):
        run({"h2": chest(50)}, latents=())
