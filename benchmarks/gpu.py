"""Every figure of a GPU in one command: at most 8 minutes, with torch alone.

    python benchmarks/gpu.py --out gpu                    # 43,904 tokens and 448 x 448 x 448 voxels, on a CUDA device
    python benchmarks/gpu.py --out gpu --size tiny        # a rehearsal, on any device

Writes ``gpu/gpu.csv``: milliseconds, rate and peak of allocated memory of

* ceilings: a product of matrices, a copy
* attention by layout of heads and kernel, forward and backward
* the depthwise convolution by implementation
* the transformer: forward and training steps of ``paper`` and ``recommended``, by precision, checkpointing and
  compilation, beside a plain eager reading of the paper (``plain_transformer.py``) and MAISI's UNet
* the tokenizer: a window and a volume, by precision and memory order, beside MAISI's autoencoder
* one sample as ``recommended`` makes it: 50 evaluations of UniPC, and the decoder

Sections are in the order of their worth. A row is written as soon as it is known, and says why where it failed; no case
starts after 7 minutes. MAISI's rows need MONAI and einops. The networks have no trained weights, which does not change
their times.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import torch
from gpu_rows import Case, Table
from tokenizer import maisi_autoencoder
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformer import MAX_TEXT, REAL_TEXT, SIZES, Size, maisi

from medsyn2.flow import Sampling
from medsyn2.flow.path import velocity_loss
from medsyn2.flow.solvers import solve
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.autoencoder.windows import decode_windowed, encode_windowed
from medsyn2.nn.cost import cost_of, enter_simulation
from medsyn2.nn.device import move
from medsyn2.nn.precision import Precision, arithmetic
from medsyn2.nn.transformer.depthwise import IMPLEMENTATIONS, add_shifts
from medsyn2.nn.transformer.dit import Checkpointing, DiT

KERNELS = (SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION)
OVERLAP = 0.25


@dataclass(frozen=True)
class Scale(Size):
    """The sizes of all work."""

    other_heads: tuple[int, ...]  # Further layouts of attention, beside the paper's and that of `recommended`
    tokenizer_width: int
    window: tuple[int, int, int]  # Of the tokenizer, in voxels
    matrix: int  # Side of the product of matrices
    copied_bytes: int

    @property
    def grid(self) -> tuple[int, int, int]:
        """Grid of tokens: depth, height, width."""
        depth, height, width = (length // 2 for length in self.latents)
        return depth, height, width

    @property
    def num_tokens(self) -> int:
        depth, height, width = self.grid
        return depth * height * width


SCALES = {
    "paper": Scale(
        **vars(SIZES["paper"]),
        other_heads=(12,),
        tokenizer_width=128,
        window=(96,) * 3,
        matrix=8192,
        copied_bytes=2**30,
    ),
    "tiny": Scale((4, 2, 2), 16, 48, 1, 4, 2, (), tokenizer_width=32, window=(16,) * 3, matrix=64, copied_bytes=2**16),
}


@dataclass(frozen=True)
class Bench:
    """The work, at one size on one device."""

    size: Scale
    device: torch.device

    def sections(self) -> dict[str, list[Case]]:
        """Return the cases by section, in the order of their worth."""
        size, variants = self.size, ("recommended", "paper")
        modes = get_args(Checkpointing)
        return {
            "ceiling": [("product of matrices, bf16", self.multiply), ("copy", self.copy)],
            "step": [
                (f"{name}, checkpointing {mode}{', compiled' if compiled else ''}", case)
                for name in variants
                for compiled, mode in ((True, "selective"), *((False, mode) for mode in modes))
                for case in (partial(self.step, name, mode, compiled),)
            ],
            "forward": [
                (f"{name}, {precision}{', compiled' if compiled else ''}", case)
                for name in variants
                for precision, compiled in (("bf16", True), ("bf16", False), ("float32", False))
                for case in (partial(self.forward, name, precision, compiled),)
            ],
            "sample": [("recommended, 50 evaluations and decoder", self.sample)],
            "attention": [
                (f"{heads} x {size.width // heads}, {kernel.name}", partial(self.attend, heads, kernel))
                for heads in (size.num_heads, *size.other_heads, size.recommended_heads)
                for kernel in KERNELS
            ],
            "depthwise": [
                *((name, partial(self.convolve, run)) for name, run in IMPLEMENTATIONS.items()),
                ("shifts, compiled", lambda table, work: self.convolve(torch.compile(add_shifts), table, work)),
            ],
            "tokenizer": [
                (f"{way}, {precision}, {'channels last' if last else 'contiguous'}", case)
                for way in ("decode", "encode")
                for precision, last in (("bf16", True), ("bf16", False), ("float32", True))
                for case in (partial(self.tokenize, way, precision, last),)
            ],
            "others": [
                ("plain reading of the paper, step", self.plain_step),
                ("MAISI's UNet, step", self.maisi_step),
                ("MAISI's autoencoder, decode a window", self.maisi_decode),
            ],
        }

    def multiply(self, table: Table, work: str) -> None:
        n = self.size.matrix
        x, y = (torch.randn(n, n, device=self.device, dtype=torch.bfloat16) for _ in range(2))
        versions = f"torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}"
        table.row("ceiling", work, table.measure_ms(lambda: x @ y), 2 * n**3, versions)

    def copy(self, table: Table, work: str) -> None:
        x = torch.empty(self.size.copied_bytes, dtype=torch.uint8, device=self.device)
        ms = table.measure_ms(x.clone)
        table.row("ceiling", work, ms, note=f"{2 * x.nbytes / ms / 1e9:.3g} TB/s")

    def attend(self, heads: int, kernel: SDPBackend, table: Table, work: str) -> None:
        """Time self-attention on tensors laid out as the transformer lays them out."""
        n, width = self.size.num_tokens, self.size.width
        shape = (1, n, heads, width // heads)
        q, k, v = (
            torch.randn(shape, device=self.device, dtype=torch.bfloat16).transpose(1, 2).requires_grad_()
            for _ in range(3)
        )
        with sdpa_kernel(kernel):
            forward: Callable[[], Tensor] = partial(F.scaled_dot_product_attention, q, k, v)
            y = forward()
            flops = 4 * n**2 * width
            table.row("attention", f"{work}, forward", table.measure_ms(forward), flops, table.kernels(forward))
            backward = partial(torch.autograd.grad, y, (q, k, v), torch.randn_like(y), retain_graph=True)
            finite = "" if all(torch.isfinite(gradient).all() for gradient in backward()) else "NOT FINITE; "
            note = finite + table.kernels(backward)
            table.row("attention", f"{work}, backward", table.measure_ms(backward), 2.5 * flops, note)

    def convolve(self, run: Callable[[Tensor, Tensor, Tensor], Tensor], table: Table, work: str) -> None:
        """Time a depthwise convolution, and compare it with the library's in float64."""
        width = self.size.width
        layer = nn.Conv3d(width, width, 3, groups=width, device=self.device, dtype=torch.bfloat16)
        x = torch.randn(1, *self.size.grid, width, device=self.device, dtype=torch.bfloat16, requires_grad=True)
        weights = layer.weight, layer.bias
        forward = partial(run, x, *weights)
        y = forward()
        exact = IMPLEMENTATIONS["convolution"](*(tensor.detach().double() for tensor in (x, *weights)))
        apart = (y - exact).abs().max().item() / exact.abs().max().item()
        note = f"{apart:.1e} of the largest value apart from float64; {table.kernels(forward)}"
        table.row("depthwise", f"{work}, forward", table.measure_ms(forward), note=note)
        backward = partial(torch.autograd.grad, y, (x, *weights), torch.randn_like(y), retain_graph=True)
        table.row("depthwise", f"{work}, backward", table.measure_ms(backward), note=table.kernels(backward))

    def transformer(self, variant: str, mode: Checkpointing = "none", compiled: bool = False) -> DiT:
        """Build a transformer on the device, with weights away from their zero initialisation."""
        with torch.device("meta"):
            network = self.size.construct(variant)
        # Drawn on the device, which takes seconds less than on the CPU.
        network = network.to_empty(device=self.device)
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.02)
        network.checkpointing = mode
        if compiled:
            network.compile()
        return network

    def inputs(self, text_tokens: int = REAL_TEXT) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw latents, time, mask latents and text."""
        latents, mask_latents = torch.randn(2, 1, 4, *self.size.latents, device=self.device)
        text = torch.randn(1, text_tokens, self.size.text_width, device=self.device)
        return latents, torch.tensor([0.6], device=self.device), mask_latents, text

    def forward(self, variant: str, precision: Precision, compiled: bool, table: Table, work: str) -> None:
        network, inputs = self.transformer(variant, compiled=compiled), self.inputs()

        @torch.no_grad()
        def run() -> None:
            with arithmetic(precision, self.device):
                network(*inputs)

        ms = table.measure_ms(run, repeats=2)
        table.row("forward", work, ms, self.forward_flops(variant), table.kernels(run))

    def forward_flops(self, variant: str) -> int:
        """Return the operations of one run of the transformer."""
        away = Bench(self.size, torch.device("cpu"))
        with enter_simulation(), torch.no_grad():
            network, inputs = self.size.construct(variant), away.inputs()
            return cost_of(lambda: network(*inputs)).flops

    def step(self, variant: str, mode: Checkpointing, compiled: bool, table: Table, work: str) -> None:
        network, inputs = self.transformer(variant, mode, compiled), self.inputs()
        # The backward pass costs twice the forward pass; what is recomputed is not counted.
        self.train(network, inputs, "step", table, work, 3 * self.forward_flops(variant))

    def train(
        self, network: nn.Module, inputs: tuple[Tensor, ...], section: str, table: Table, work: str, flops: float | None
    ) -> None:
        """Time loss, gradients, clipping and the update on one sample."""
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5, fused=True)

        def run() -> None:
            with torch.autocast(self.device.type, torch.bfloat16):
                predicted = network(*inputs)
            velocity_loss(predicted, inputs[2], inputs[1], 0.05).mean().backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        table.row(section, work, table.measure_ms(run, repeats=2), flops, table.kernels(run))

    def tokenizer(self, channels_last: bool = True) -> CausalVideoVAE:
        network = CausalVideoVAE(self.size.tokenizer_width).eval().requires_grad_(False)
        if channels_last:
            move(network, self.device)
        return network.to(self.device)

    @torch.inference_mode()
    def tokenize(self, way: str, precision: Precision, channels_last: bool, table: Table, work: str) -> None:
        """Time a window, and the whole volume in windows; constant windows would be skipped, so there is noise."""
        network, window = self.tokenizer(channels_last), self.size.window
        depth, height, width = self.size.latents
        voxels, latents = (1, 1, 4 * depth, 8 * height, 8 * width), (1, 4, *self.size.latents)
        if way == "decode":
            x = torch.randn(latents, device=self.device)
            run = partial(decode_windowed, network, x, window, OVERLAP, precision)
        else:
            x = torch.rand(voxels, device=self.device) - 0.5
            run = partial(encode_windowed, network, x, window, OVERLAP, precision=precision)
        table.row("tokenizer", f"{work}, a volume", table.measure_ms(run, repeats=1), note=table.kernels(run))

    @torch.inference_mode()
    def sample(self, table: Table, work: str) -> None:
        """Time one volume as the pipeline makes it: the mask's latents, the solver, the decoder."""
        network, tokenizer = self.transformer("recommended", compiled=True), self.tokenizer()
        noise, _, mask_latents, text = self.inputs()
        how = Sampling(solver="unipc", num_steps=50, guidance_mask=1.0)

        def predict_clean(latents: Tensor, t: Tensor) -> Tensor:
            with arithmetic("bf16", self.device):
                return network(latents, t, mask_latents, text)

        def run() -> None:
            decode_windowed(tokenizer, solve(predict_clean, noise, how), self.size.window, OVERLAP, "bf16")

        table.row("sample", work, table.measure_ms(run, repeats=1))

    def plain_step(self, table: Table, work: str) -> None:
        network = self.size.plain().to(self.device)
        real = torch.arange(MAX_TEXT, device=self.device)[None] < REAL_TEXT
        flops = 3 * self.forward_flops("paper")
        self.train(network, (*self.inputs(MAX_TEXT), real), "others", table, work, flops)

    def maisi_step(self, table: Table, work: str) -> None:
        network = maisi().to(self.device)
        real = torch.ones(1, REAL_TEXT, dtype=torch.bool, device=self.device)
        self.train(network, (*self.inputs(), real), "others", table, work, None)

    @torch.inference_mode()
    def maisi_decode(self, table: Table, work: str) -> None:
        """Time a window of as many voxels as ours; MAISI compresses 4 x 4 x 4."""
        network = maisi_autoencoder(self.device).eval()
        x = torch.randn(1, 4, *(length // 4 for length in self.size.window), device=self.device)

        def run() -> None:
            with torch.autocast(self.device.type, torch.bfloat16):
                network.decode(x)

        table.row("others", work, table.measure_ms(run), note=table.kernels(run))


def main() -> None:
    """Fill the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--size", choices=SCALES, default="paper", help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=420.0, help="no case starts later (default: %(default)s)")
    parser.add_argument("--section", nargs="+", help="only these (default: all)")
    arguments = parser.parse_args()
    cuda = torch.cuda.is_available()
    if arguments.size == "paper" and not cuda:
        raise SystemExit("the paper's size needs a CUDA device, and none is visible to this PyTorch")
    torch.manual_seed(0)
    bench = Bench(SCALES[arguments.size], torch.device("cuda" if cuda else "cpu"))
    table = Table(arguments.out / "gpu.csv", bench.device, arguments.seconds)
    for section, cases in bench.sections().items():
        if arguments.section is None or section in arguments.section:
            table.run(section, cases)


if __name__ == "__main__":
    main()
