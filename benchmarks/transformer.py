"""The transformer's forward and training step beside a plain eager reading of the paper, in one run.

    python benchmarks/transformer.py                  # tiny, on the CPU
    python benchmarks/transformer.py --size paper     # 43,904 tokens, on a CUDA device

Needs torch and this checkout; for MONAI's row MONAI and einops, without which it is left out and that is said. The
plain reading (``plain_transformer.py``) is the paper's equations written down with PyTorch's own modules: no
compilation, nothing recomputed, attention's default kernel, texts padded to 544 tokens and masked. With the weights of
the package's network it gives that network's output, which is checked in float32 before anything is timed. A step is
loss, gradients, clipping and AdamW, on one sample, under autocast if the precision is bf16, as it is by default on GPUs
that have it; on CUDA with the peak of allocated memory. Ratios above 1 are faster than the plain reading. On the CPU
all take turns, so that a busy machine slows all.

MONAI's row is the diffusion UNet of MAISI at its published size, whatever --size, on the same latents: it takes neither
mask nor text, and latents that do not divide by 8 are padded.

On CUDA attention is also timed on its own, by head layout and kernel: 81 % of all operations are in it.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from math import nan
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

sys.path.insert(0, str(Path(__file__).parents[1]))

from plain_transformer import Plain

from medsyn2.flow.path import velocity_loss
from medsyn2.nn.precision import arithmetic, precision_on
from medsyn2.nn.transformer.dit import Checkpointing, DiT
from medsyn2.vocabulary import Precision, PrecisionSetting

MAX_TEXT, REAL_TEXT = 544, 170
"""Tokens of the padded text, and those of it that are real: a pre-prompt and a report of usual length."""


@dataclass(frozen=True)
class Size:
    """A network and what it works on."""

    latents: tuple[int, int, int]
    text_width: int
    width: int
    depth: int
    num_heads: int
    recommended_heads: int

    def construct(self, variant: str) -> DiT:
        """Return the package's network, with its own initialisation."""
        heads = self.recommended_heads if variant == "recommended" else self.num_heads
        settings = {"latent_channels": 4, "text_width": self.text_width, "width": self.width, "depth": self.depth}
        return DiT(**settings, num_heads=heads, patch=(2, 2, 2), **VARIANTS[variant])

    def build(self, variant: str) -> DiT:
        """Return the package's network, away from its zero initialisation."""
        torch.manual_seed(0)
        network = self.construct(variant)
        for parameter in network.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.02)
        return network

    def plain(self) -> Plain:
        """Build the plain reading of the paper."""
        return Plain(self.width, self.depth, self.num_heads, self.text_width)


SIZES = {
    "tiny": Size((16, 12, 12), text_width=64, width=144, depth=4, num_heads=4, recommended_heads=3),
    "paper": Size((112, 56, 56), text_width=768, width=1152, depth=16, num_heads=16, recommended_heads=9),
}
VARIANTS: dict[str, dict[str, object]] = {
    "paper": {},
    "recommended": {"qk_norm": True},
    "official": {"layout": "official"},
}


class MaisiUNet(nn.Module):
    """MONAI's network, called as the others are; `unet` is a DiffusionModelUNetMaisi."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, latents: Tensor, t: Tensor, mask_latents: Tensor, text: Tensor, real: Tensor) -> Tensor:
        depth, height, width = latents.shape[2:]
        padded = F.pad(latents, (0, -width % 8, 0, -height % 8, 0, -depth % 8))
        spacing = torch.ones(len(latents), 3, device=latents.device)
        kind = torch.ones(len(latents), dtype=torch.long, device=latents.device)  # which modality it is
        made = self.unet(padded, 1000 * t, class_labels=kind, spacing_tensor=spacing)
        return made[:, :, :depth, :height, :width]


def maisi() -> nn.Module:
    """Build MAISI's diffusion UNet, 180,500,868 parameters (``config_network_rflow.json`` of NV-Generate-CTMR)."""
    from monai.apps.generation.maisi.networks.diffusion_model_unet_maisi import DiffusionModelUNetMaisi

    torch.manual_seed(0)
    unet = DiffusionModelUNetMaisi(
        spatial_dims=3,
        in_channels=4,
        out_channels=4,
        num_channels=(64, 128, 256, 512),
        attention_levels=(False, False, True, True),
        num_head_channels=(0, 0, 32, 32),
        num_res_blocks=2,
        use_flash_attention=torch.cuda.is_available(),  # MONAI refuses it elsewhere
        include_spacing_input=True,
        num_class_embeds=128,
        resblock_updown=True,
        include_fc=True,
    )
    return MaisiUNet(unet)


Inputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def inputs_of(size: Size, device: torch.device) -> Inputs:
    """Draw latents, time, mask latents, text and which of its tokens are real."""
    generator = torch.Generator().manual_seed(1)
    latents, mask_latents = torch.randn(2, 1, 4, *size.latents, generator=generator)
    text = torch.randn(1, MAX_TEXT, size.text_width, generator=generator)
    drawn = latents, torch.tensor([0.6]), mask_latents, text, torch.arange(MAX_TEXT)[None] < REAL_TEXT
    latents, t, mask_latents, text, real = (each.to(device) for each in drawn)
    return latents, t, mask_latents, text, real


class Contestant:
    """A network with what times it: forward without gradients, and whole training steps.

    Args:
        name: What the table calls it.
        build: Makes the network, when its turn comes.
        inputs: What it works on.
        precision: Its arithmetic.
    """

    def __init__(self, name: str, build: Callable[[], nn.Module], inputs: Inputs, precision: Precision) -> None:
        self.name, self.build, self.inputs, self.precision = name, build, inputs, precision
        self.device = inputs[0].device
        self.seconds: dict[str, list[float]] = {"forward": [], "step": []}
        self.peak_gib: dict[str, float] = {}

    def enter(self) -> None:
        """Build the network, and run each kind of work once, untimed."""
        self.network = self.build().to(self.device)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-5, fused=self.device.type == "cuda")
        self.forward()
        self.step()

    def leave(self) -> None:
        """Free what the network took."""
        self.network = self.optimizer = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def forward(self) -> None:
        with torch.no_grad(), arithmetic(self.precision, self.device):
            self.network(*self.inputs)

    def step(self) -> None:
        with arithmetic(self.precision, self.device):
            predicted = self.network(*self.inputs)
        clean = self.inputs[2]  # any latents will do
        velocity_loss(predicted, clean, self.inputs[1], 0.05).mean().backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def take_turn(self) -> None:
        """Time a forward and a step, and keep the peak of memory of each."""
        for what, work in (("forward", self.forward), ("step", self.step)):
            if self.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
                torch.cuda.synchronize()
            start = perf_counter()
            work()
            if self.device.type == "cuda":
                torch.cuda.synchronize()
                peak = torch.cuda.max_memory_allocated() / 2**30
                self.peak_gib[what] = max(self.peak_gib.get(what, 0.0), peak)
            self.seconds[what].append(perf_counter() - start)

    def row(self, first: "Contestant") -> str:
        """Return the row of the table; ratios are to `first`."""
        cells = []
        for what, seconds in self.seconds.items():
            own, theirs = median(seconds), median(first.seconds[what]) if first.seconds[what] else nan
            memory = f"{self.peak_gib[what]:8.1f}" if self.peak_gib else ""
            cells.append(f"{own:10.4f} {theirs / own:7.2f}{memory}")
        return f"{self.name:<42}" + " ".join(cells)


def contest(contestants: list[Contestant], repeats: int) -> None:
    """Time all and print a row each.

    On the CPU, which others may be using, they take turns. On a GPU each is alone, as peaks of memory are
    taken too.
    """
    first = contestants[0]
    alone = first.device.type == "cuda"
    if not alone:
        for each in contestants:
            each.enter()
        for _ in range(repeats):
            for each in contestants:
                each.take_turn()
    for each in contestants:
        try:
            if alone:
                each.enter()
                for _ in range(repeats):
                    each.take_turn()
            print(each.row(first), flush=True)
        except torch.cuda.OutOfMemoryError:
            print(f"{each.name:<42} out of memory", flush=True)
        each.leave()


def compare(size: Size, device: torch.device, precision: Precision, repeats: int, compiled: bool) -> None:
    """Time the plain reading and the package's networks in all variants and modes of checkpointing."""
    inputs = inputs_of(size, device)
    check_equal(size, inputs)

    def building(variant: str, mode: Checkpointing) -> Callable[[], nn.Module]:
        def build() -> nn.Module:
            network = size.build(variant)
            network.checkpointing = mode
            if compiled:
                network.compile()
            return network

        return build

    contestants = [Contestant("plain reading of the paper", size.plain, inputs, precision)]
    for variant in VARIANTS:
        for mode in get_args(Checkpointing):
            label = f"{variant}, checkpointing {mode}" + (", compiled" if compiled else "")
            contestants.append(Contestant(label, building(variant, mode), inputs, precision))
    missing = [name for name in ("monai", "einops") if find_spec(name) is None]
    if missing:
        print(f"MONAI's network is left out: {' and '.join(missing)} not installed")
    else:
        contestants.append(Contestant("MONAI MAISI diffusion UNet", maisi, inputs, precision))
    memory = "     GiB" if device.type == "cuda" else ""
    print(f"{'':<42}{'forward s':>10} {'ratio':>7}{memory} {'step s':>10} {'ratio':>7}{memory}")
    contest(contestants, repeats)


def check_equal(size: Size, inputs: Inputs) -> None:
    """Stop if the plain reading, with the network's weights, gives another output."""
    device = inputs[0].device
    network, plain = size.build("paper"), size.plain()
    plain.copy_from(network)
    with torch.no_grad(), arithmetic("float32", device):  # without TF32, which is 1e-3 apart
        expected, found = plain.to(device)(*inputs), network.to(device)(*inputs)
    apart = ((found - expected).norm() / expected.norm()).item()
    print(f"the same function: outputs differ by {apart:.1e} of their norm")
    if not apart < 1e-3:
        raise SystemExit("the plain reading and the network disagree; nothing was timed")


def attention(size: Size, device: torch.device) -> None:
    """Time self-attention alone, forward and backward, by head layout and kernel."""
    num_tokens = size.latents[0] * size.latents[1] * size.latents[2] // 8
    kernels = (SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION)
    print(f"\nattention, {num_tokens} tokens, bfloat16{'':<8}{'forward ms':>12}{'backward ms':>13}")
    for num_heads in (16, 12, 9, 18):
        shape = (1, num_heads, num_tokens, size.width // num_heads)
        q, k, v = (torch.randn(shape, device=device, dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
        for kernel in kernels:
            label = f"{num_heads} x {shape[-1]}, {kernel.name}"
            try:
                with sdpa_kernel(kernel):
                    forward, backward = time_attention(q, k, v)
            except RuntimeError as error:
                print(f"{label:<44} refused: {str(error).splitlines()[0][:60]}")
                continue
            print(f"{label:<34}{forward * 1e3:18.2f}{backward * 1e3:13.2f}", flush=True)


def time_attention(q: Tensor, k: Tensor, v: Tensor) -> tuple[float, float]:
    """Return the medians of five forward and five backward passes, in seconds."""
    forward, backward = [], []
    for _ in range(6):
        torch.cuda.synchronize()
        start = perf_counter()
        y = F.scaled_dot_product_attention(q, k, v)
        torch.cuda.synchronize()
        middle = perf_counter()
        y.backward(y.detach())
        torch.cuda.synchronize()
        forward.append(middle - start)
        backward.append(perf_counter() - middle)
        q.grad = k.grad = v.grad = None
    return median(forward[1:]), median(backward[1:])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="tiny", help="default: %(default)s")
    parser.add_argument("--repeats", type=int, default=5, help="timed turns each (default: %(default)s)")
    parser.add_argument("--compile", action="store_true", help="compile the package's networks")
    parser.add_argument("--precision", choices=get_args(PrecisionSetting), default="auto")
    arguments = parser.parse_args()
    cuda = torch.cuda.is_available()
    if arguments.size == "paper" and not cuda:
        raise SystemExit("the paper's size needs a CUDA device, and none is visible to this PyTorch")
    device = torch.device("cuda" if cuda else "cpu")
    where = torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} threads"
    size = SIZES[arguments.size]
    precision = precision_on(device, arguments.precision)
    print(f"torch {torch.__version__}, {where}, size {arguments.size}, {precision}")
    compare(size, device, precision, arguments.repeats, arguments.compile)
    if cuda:
        attention(size, device)


if __name__ == "__main__":
    main()
