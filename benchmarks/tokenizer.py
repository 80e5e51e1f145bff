"""The tokenizer's encoding and decoding beside MONAI's autoencoders, on one volume in one run.

    python benchmarks/tokenizer.py                                      # a quarter of the width, on the CPU
    python benchmarks/tokenizer.py --width 128 --volume 448 448 448 --window 96 96 96      # on a CUDA device

Needs torch and this checkout; MONAI's rows are left out, and said so, where it is not installed. All networks take
their turns on the same volume, so that a busy machine slows all; ratios are to the first row, above 1 is faster than
it. By default the precision is bf16 on GPUs that have it, as in the package. On CUDA each network is alone, and the
peak of allocated memory stands beside what was predicted; on the CPU the prediction stands alone.

* ours: whole encoding in slabs, decoding in windows if --window is given, otherwise whole
* ours, plain: the same network, encoded at once
* MONAI AutoencoderKL: the same channels, blocks and groups; compresses 8 x 8 x 8 instead of 4 x 8 x 8
* MONAI MAISI: its published size, whatever --width; compresses 4 x 4 x 4, so that it decodes four times the latents

With --window MONAI's networks go through MONAI's own sliding windows. How much the networks are worth is not in
these figures: none has trained weights here.
"""

import argparse
import gc
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import get_args

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from medsyn2.nn.autoencoder.slabs import moments_in_slabs
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.autoencoder.windows import decode_cost, decode_windowed, encode_cost, encode_windowed
from medsyn2.nn.precision import arithmetic, precision_on
from medsyn2.vocabulary import Precision, PrecisionSetting

OVERLAP = 0.25
Shape = tuple[int, int, int]
Step = Callable[[Tensor], Tensor]


class Contestant:
    """A network, with how it encodes and decodes.

    Args:
        name: What the table calls it.
        network: The network.
        encode: From the volume to latents.
        decode: From latents to a volume; None if only the encoding is timed.
        predicted_gib: Memory of both that was predicted, if it was.
    """

    def __init__(
        self, name: str, network: nn.Module, encode: Step, decode: Step | None, predicted_gib: tuple[float, ...] = ()
    ) -> None:
        self.name, self.network, self.steps = name, network.eval(), {"encode": encode, "decode": decode}
        self.predicted_gib = dict(zip(self.steps, predicted_gib, strict=False))
        self.seconds: dict[str, list[float]] = {"encode": [], "decode": []}
        self.peak_gib: dict[str, float] = {}

    @torch.inference_mode()
    def take_turn(self, volume: Tensor, precision: Precision) -> None:
        """Encode and decode once, on the volume's device."""
        value = volume
        for what, step in self.steps.items():
            if step is None:
                continue
            with arithmetic(precision, volume.device):
                start = clock(volume.device)
                value = step(value)
                self.seconds[what].append(clock(volume.device) - start)
            if volume.device.type == "cuda":
                self.peak_gib[what] = torch.cuda.max_memory_allocated() / 2**30

    def row(self, first: "Contestant") -> str:
        """Return the row of the table; ratios are to `first`."""
        cells = []
        for what, seconds in self.seconds.items():
            if not seconds:
                cells.append(f"{'-':>10} {'-':>6} {'-':>7} {'-':>7}")
                continue
            own = median(seconds)
            peaks = (self.peak_gib.get(what), self.predicted_gib.get(what))
            memory = " ".join(f"{peak:7.2f}" if peak else f"{'-':>7}" for peak in peaks)
            cells.append(f"{own:10.3f} {median(first.seconds[what]) / own:6.2f} {memory}")
        return f"{self.name:<28}{'   '.join(cells)}"


def clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    return perf_counter()


def ours(
    width: int, shape: Shape, window: Shape | None, device: torch.device, precision: Precision
) -> list[Callable[[], Contestant]]:
    def build() -> CausalVideoVAE:
        torch.manual_seed(0)
        return CausalVideoVAE(width).to(device).eval()

    def decode(tokenizer: CausalVideoVAE) -> Step:
        return lambda latents: decode_windowed(tokenizer, latents, window, OVERLAP, precision)

    def full() -> Contestant:
        tokenizer = build()
        costs = (
            encode_cost(tokenizer, shape, None, 0, precision),
            decode_cost(tokenizer, shape, window, OVERLAP, precision),
        )
        print("ours: " + ", ".join(f"{cost.flops / 1e12:.3g} TFLOP" for cost in costs) + " to encode, to decode")
        return Contestant(
            "ours",
            tokenizer,
            lambda ct: encode_windowed(tokenizer, ct, None, 0, precision=precision).mode(),
            decode(tokenizer),
            tuple(cost.peak_bytes / 2**30 for cost in costs),
        )

    def plain() -> Contestant:
        tokenizer = build()
        return Contestant("ours, plain", tokenizer, lambda ct: tokenizer.encode(ct).mode(), None)

    return [full, plain]


def maisi_autoencoder(device: torch.device) -> nn.Module:
    """Build MAISI's autoencoder at its published size."""
    from monai.apps.generation.maisi.networks.autoencoderkl_maisi import AutoencoderKlMaisi

    channels = (64, 128, 256)
    return AutoencoderKlMaisi(
        num_channels=channels,
        num_splits=1 if device.type == "cpu" else 8,
        norm_float16=device.type == "cuda",
        save_mem=False,
        **common(channels),
    ).to(device)


def common(channels: tuple[int, ...]) -> dict[str, object]:
    """Return the settings that MONAI's autoencoders share here."""
    return {
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 1,
        "num_res_blocks": (2,) * len(channels),
        "attention_levels": (False,) * len(channels),
        "latent_channels": 4,
        "norm_num_groups": 32,
    }


def monais(width: int, window: Shape | None, device: torch.device) -> list[Callable[[], Contestant]]:
    try:
        import monai.apps.generation.maisi.networks.autoencoderkl_maisi  # noqa: F401
        from monai.inferers.utils import sliding_window_inference
        from monai.networks.nets import AutoencoderKL
    except ModuleNotFoundError as missing:
        print(f"MONAI's networks are left out: {missing}")
        return []

    def windowed(step: Step, scale: int | None) -> Step:
        if window is None:
            return step
        roi = [size // scale if scale else size for size in window]
        return lambda value: sliding_window_inference(value, roi, 1, step, OVERLAP, mode="gaussian")

    def contestant(name: str, network: nn.Module, scale: int) -> Contestant:
        network = network.to(device)
        return Contestant(
            name, network, windowed(lambda ct: network.encode(ct)[0], None), windowed(network.decode, scale)
        )

    def plain_kl() -> Contestant:
        channels = (width, 2 * width, 4 * width, 4 * width)
        network = AutoencoderKL(
            channels=channels, with_encoder_nonlocal_attn=False, with_decoder_nonlocal_attn=False, **common(channels)
        )
        return contestant("MONAI AutoencoderKL", network, 8)

    def maisi() -> Contestant:
        return contestant("MONAI MAISI", maisi_autoencoder(device), 4)

    return [plain_kl, maisi]


def contest(builders: list[Callable[[], Contestant]], volume: Tensor, repeats: int, precision: Precision) -> None:
    """Time all; on the CPU they take turns, on a GPU each is alone, as peaks of memory are taken too."""
    heads = [f"{what + ' s':>10} {'ratio':>6} {'GiB':>7} {'pred.':>7}" for what in ("encode", "decode")]
    print(f"{'':<28}{'   '.join(heads)}")
    first: Contestant | None = None
    if volume.device.type == "cpu":
        contestants = [build() for build in builders]
        for each in contestants * (1 + repeats):
            each.take_turn(volume, precision)
        for each in contestants:
            each.seconds = {what: seconds[1:] for what, seconds in each.seconds.items()}  # the first warms up
            print(each.row(contestants[0]), flush=True)
        return
    for build in builders:
        gc.collect()
        torch.cuda.empty_cache()
        try:
            each = build()
            for _ in range(1 + repeats):
                each.take_turn(volume, precision)
        except torch.cuda.OutOfMemoryError:
            print(f"{build.__name__:<28} out of memory", flush=True)
            continue
        each.seconds = {what: seconds[1:] for what, seconds in each.seconds.items()}
        first = first or each
        print(each.row(first), flush=True)
        del each.network, each.steps


def check_slabs(width: int, volume: Tensor) -> None:
    """Print how far encoding in slabs is from encoding at once, on at most 40 slices of 96 x 96."""
    torch.manual_seed(0)
    tokenizer, part = CausalVideoVAE(width).to(volume.device).eval(), volume[:, :, :40, :96, :96]
    with torch.inference_mode(), arithmetic("float32", volume.device):
        difference = (moments_in_slabs(tokenizer, part) - tokenizer.moments(part)).abs().max().item()
    print(f"slabs against at once, {tuple(part.shape[2:])}: largest difference {difference:.2g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=32, help="channels of the first level; 128 is public")
    parser.add_argument("--volume", type=int, nargs=3, default=(48, 96, 96), metavar="VOXELS")
    parser.add_argument("--window", type=int, nargs=3, metavar="VOXELS", help="decode in windows")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", choices=get_args(PrecisionSetting), default="auto")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    depth, height, width = arguments.volume
    shape = (depth, height, width)
    window = tuple(arguments.window) if arguments.window else None
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    precision = precision_on(device, arguments.precision)
    print(f"torch {torch.__version__}, {name}, volume {shape}, width {arguments.width}, window {window}, {precision}")
    volume = torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(1)).clamp(-1, 1).to(device)
    check_slabs(arguments.width, volume)
    contest(
        [*ours(arguments.width, shape, window, device, precision), *monais(arguments.width, window, device)],
        volume,
        arguments.repeats,
        precision,
    )


if __name__ == "__main__":
    main()
