import subprocess
import sys
from pathlib import Path

import pytest
import torch

from medsyn2.errors import ConfigError
from medsyn2.nn.autoencoder import windows
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.autoencoder.windows import decode_cost, decode_windowed, encode_chunked, encode_cost, encode_windowed
from medsyn2.nn.cost import cost_of, enter_simulation


class LocalCodec(CausalVideoVAE):
    """A tokenizer without context: every latent is the mean of its own voxels, and is decoded to them.

    What goes through it window by window is exactly what goes through it at once, whatever the windows.
    """

    def __init__(self, **settings: object) -> None:
        super().__init__(8, num_res_blocks=1, norm_groups=4, **settings)
        self.seen: list[tuple[int, ...]] = []

    def moments(self, ct):
        self.seen.append(tuple(ct.shape))
        self.latent_shape(ct.shape[2:])
        if self.depth_mode == "first_frame":
            ct = torch.cat([ct[:, :, :1].expand(-1, -1, 3, -1, -1), ct], dim=2)
        mean = torch.nn.functional.avg_pool3d(ct, (4, 8, 8))
        return torch.cat([mean.repeat(1, 4, 1, 1, 1), mean.repeat(1, 4, 1, 1, 1) - 1], dim=1)

    def decode(self, latents):
        ct = latents[:, :1].repeat_interleave(4, 2).repeat_interleave(8, 3).repeat_interleave(8, 4)
        return ct[:, :, 3:] if self.depth_mode == "first_frame" else ct


def network() -> CausalVideoVAE:
    torch.manual_seed(0)
    return CausalVideoVAE(8, num_res_blocks=1, norm_groups=4).eval()


@pytest.mark.parametrize("shape", [(16, 32, 24), (20, 40, 16)])
@pytest.mark.parametrize("window", [(8, 16, 16), (12, 16, 8), (4, 8, 8), (64, 16, 64)])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.7])
def test_windows_of_a_codec_without_context_give_the_whole(shape, window, overlap):
    codec = LocalCodec()
    ct = torch.rand(2, 1, *shape)
    whole = codec.encode(ct)
    posterior = encode_windowed(codec, ct, window, overlap)
    torch.testing.assert_close(posterior.mean, whole.mean)
    torch.testing.assert_close(posterior.logvar, whole.logvar)
    torch.testing.assert_close(decode_windowed(codec, whole.mean, window, overlap), codec.decode(whole.mean))


@pytest.mark.parametrize("overlap", [0.0, 0.5])
def test_a_first_frame_leaves_no_gap_between_windows(overlap):
    codec = LocalCodec(depth_mode="first_frame")
    latents = torch.rand(1, 4, 5, 2, 2)
    ct = decode_windowed(codec, latents, (9, 8, 8), overlap)
    assert ct.shape == (1, 1, 17, 16, 16)
    # Decoding one latent late starts a window within what the codec repeats: equal wherever windows agree.
    torch.testing.assert_close(ct, codec.decode(latents))


@torch.no_grad()
def test_a_window_as_large_as_the_volume_is_the_whole():
    tokenizer, ct = network(), torch.rand(1, 1, 8, 24, 16)
    whole = tokenizer.encode(ct)
    for window in (None, (8, 24, 16), (64, 64, 64)):
        posterior = encode_windowed(tokenizer, ct, window, 0.25)
        assert torch.equal(posterior.mean, whole.mean)
        assert torch.equal(posterior.logvar, whole.logvar)
        ours = decode_windowed(tokenizer, whole.mean, window, 0.25)
        assert torch.equal(ours, tokenizer.decode(whole.mean))


def test_windows_stay_within_the_volume():
    codec = LocalCodec()
    encode_windowed(codec, torch.rand(1, 1, 20, 40, 24), (16, 32, 64), 0.25)
    assert set(codec.seen) == {(1, 1, 16, 32, 24)}
    assert len(codec.seen) == 4


@torch.no_grad()
def test_a_window_of_one_value_is_computed_once():
    codec = LocalCodec()
    mask = torch.full((1, 1, 32, 16, 16), -0.5)
    mask[:, :, 4:8, 4:8, 4:8] = 0.5
    known: dict = {}
    posterior = encode_windowed(codec, mask, (8, 8, 8), 0.0, known)
    torch.testing.assert_close(posterior.mean, codec.encode(mask).mean)
    varied = 1
    assert len(codec.seen) == varied + 1 + 1
    assert list(known) == [(-0.5, (8, 8, 8))]
    encode_windowed(codec, torch.full((3, 1, 16, 8, 8), -0.5), (8, 8, 8), 0.0, known)
    assert len(codec.seen) == varied + 1 + 1


@torch.no_grad()
def test_the_shortcut_changes_nothing():
    tokenizer = network()
    mask = torch.full((1, 1, 16, 24, 24), -0.5)
    mask[:, :, 2:7, 3:9, 4:12] = 0.5
    posterior = encode_windowed(tokenizer, mask, (8, 16, 16), 0.5)
    nearly = mask + 1e-7 * torch.randn(mask.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        posterior.mean, encode_windowed(tokenizer, nearly, (8, 16, 16), 0.5).mean, rtol=1e-3, atol=1e-3
    )


def test_bfloat16_windows_are_added_in_float32():
    class Half(LocalCodec):
        def decode(self, latents):
            return super().decode(latents).bfloat16()

    latents = torch.full((1, 4, 6, 2, 2), 0.3)
    volume = decode_windowed(Half(), latents, (8, 8, 8), 0.6)
    assert volume.dtype == torch.float32
    torch.testing.assert_close(volume, torch.full_like(volume, float(torch.tensor(0.3).bfloat16())))


@torch.no_grad()
@pytest.mark.parametrize("window", [None, (8, 16, 16)])
def test_in_bfloat16_results_are_float32_and_close(window):
    tokenizer = network()
    ct = torch.rand(1, 1, 16, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        full = encode_windowed(tokenizer, ct, window, 0.25).mode()
        half = encode_windowed(tokenizer, ct, window, 0.25, precision="bf16").mode()
        decoded = [decode_windowed(tokenizer, full, window, 0.25, one) for one in ("float32", "bf16")]
    for exact, found in ((full, half), decoded):
        assert found.dtype == torch.float32
        assert 0 < (found - exact).norm() / exact.norm() < 0.05


def test_agrees_with_monai_where_both_take_plain_means(monkeypatch):
    """MONAI's constant mode weighs all windows alike; so do ours, if neighbours do not cross-fade."""
    from monai.inferers.utils import sliding_window_inference

    monkeypatch.setattr(windows, "_crossfade", lambda length, delay: torch.full((length,), 0.5).double())
    tokenizer, latents = network().double(), torch.randn(1, 4, 6, 6, 6).double()
    ours = decode_windowed(tokenizer, latents, (16, 32, 32), 0.5)
    # All windows over one overlap share it equally on a regular grid of half-overlapping windows.
    theirs = sliding_window_inference(latents, (4, 4, 4), 1, tokenizer.decode, overlap=0.5, mode="constant")
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("spans", [[(0, 8), (6, 14), (9, 17)], [(0, 8), (8, 16)], [(0, 12), (3, 15), (6, 18)]])
def test_factors_sum_to_one_and_change_smoothly(spans, late):
    factors = windows._axis_weights([slice(*span) for span in spans], late=late)
    total = torch.zeros(max(stop for _, stop in spans), dtype=torch.float64)
    for start, stop in spans:
        assert (factors[start] > 0).all()
        total[start:stop] += factors[start]
    torch.testing.assert_close(total, torch.ones_like(total))


def test_in_depth_a_window_takes_over_late():
    spans = [slice(0, 96), slice(72, 168)]
    plane, depth = (windows._axis_weights(spans, late=late) for late in (False, True))
    assert plane[72][12] == pytest.approx(0.5, abs=0.05)
    assert depth[72][:12].max() < 1e-3
    assert depth[72][12:24].diff().min() > 0


def test_an_overlap_beyond_its_range_is_refused():
    with pytest.raises(ConfigError, match="window-overlap"):
        decode_windowed(network(), torch.zeros(1, 4, 4, 2, 2), (8, 8, 8), 1.0)
    with pytest.raises(ConfigError, match="tokenizer-shape"):
        decode_windowed(network(), torch.zeros(1, 4, 4, 2, 2), (7, 8, 8), 0.5)


def test_cost_of_windows_is_that_of_one_times_their_number():
    tokenizer = network()
    one = encode_cost(tokenizer, (16, 16, 16), (16, 16, 16), 0.5)
    nine = encode_cost(tokenizer, (32, 32, 32), (16, 16, 16), 0.5)
    assert nine.flops == 27 * one.flops
    extra = 4 * 32**3 - 4 * 16**3 + 4 * 8 * 8 * 4 * 4
    assert nine.peak_bytes == one.peak_bytes + extra
    assert decode_cost(tokenizer, (32, 32, 32), (16, 16, 16), 0.5).flops == 27 * (
        decode_cost(tokenizer, (16, 16, 16), None, 0.5).flops
    )


def test_slabs_cost_the_same_operations_and_less_memory():
    tokenizer = CausalVideoVAE(32, norm_groups=32)
    whole = encode_cost(tokenizer, (512, 192, 192), (512, 192, 192), 0.25)
    slabs = encode_cost(tokenizer, (512, 192, 192), None, 0.25)
    assert slabs.flops == whole.flops
    assert slabs.peak_bytes < 0.4 * whole.peak_bytes


@torch.no_grad()
def test_predicted_operations_are_those_that_are_made():
    tokenizer, ct, latents = network(), torch.rand(1, 1, 16, 32, 24), torch.rand(1, 4, 4, 4, 3)
    for window in (None, (8, 16, 16)):
        made = cost_of(lambda window=window: encode_windowed(tokenizer, ct, window, 0.25))
        assert encode_cost(tokenizer, (16, 32, 24), window, 0.25).flops == made.flops
        made = cost_of(lambda window=window: decode_windowed(tokenizer, latents, window, 0.25))
        assert decode_cost(tokenizer, (16, 32, 24), window, 0.25).flops == made.flops


def test_published_sizes_cost_what_is_known_of_them():
    """Of the public v1.2 network: 405 TFLOP for a whole encoding, 4.0 and 18.6 for windows of 96 voxels."""
    with enter_simulation():
        tokenizer = CausalVideoVAE()
        assert encode_cost(tokenizer, (448, 448, 448), None, 0.25).flops == pytest.approx(405e12, rel=5e-3)
        assert encode_cost(tokenizer, (96, 96, 96), None, 0.25).flops == pytest.approx(4.0e12, rel=1e-2)
        assert decode_cost(tokenizer, (96, 96, 96), None, 0.25).flops == pytest.approx(18.6e12, rel=1e-2)


MEASURE = """
import sys, threading, time
import torch
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.autoencoder.windows import decode_cost, decode_windowed, encode_chunked, encode_cost, encode_windowed

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

torch.set_num_threads(1)
tokenizer, shape = CausalVideoVAE(32, norm_groups=32).eval(), (32, 96, 96)
predict = encode_cost if sys.argv[1] == "encode" else decode_cost
predicted = predict(tokenizer, shape, None, 0.25).peak_bytes
ct, latents = torch.randn(1, 1, *shape), torch.randn(1, 4, 8, 12, 12)
before = resident() - sum(4 * p.numel() for p in tokenizer.parameters())
peak, done = 0, False

def watch():
    global peak
    while not done:
        peak = max(peak, resident())
        time.sleep(0.002)

watcher = threading.Thread(target=watch)
watcher.start()
with torch.inference_mode():
    encode_windowed(tokenizer, ct, None, 0.25) if sys.argv[1] == "encode" else decode_windowed(
        tokenizer, latents, None, 0.25)
done = True
watcher.join()
print((peak - before) / predicted)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory of a process from /proc")
@pytest.mark.parametrize("direction", ["encode", pytest.param("decode", marks=pytest.mark.slow)])
def test_measured_memory_is_within_a_factor_of_the_prediction(direction):
    command = [sys.executable, "-c", MEASURE, direction]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", check=True, cwd=Path(__file__).parents[4])
    assert 0.8 < float(result.stdout) < 2.2


def test_chunks_of_depth_are_encoded_each_for_itself():
    tokenizer, ct = network(), torch.rand(1, 1, 22 * 4, 16, 16) - 0.5
    with torch.inference_mode():
        posterior = encode_chunked(tokenizer, ct, 80)
        apart = [tokenizer.encode(ct[:, :, :80]).mean, tokenizer.encode(ct[:, :, 80:]).mean]
        whole = tokenizer.encode(ct).mean
    assert torch.equal(posterior.mean, torch.cat(apart, dim=2))
    assert posterior.mean.shape == whole.shape
    assert not torch.allclose(posterior.mean, whole)
    with pytest.raises(ConfigError):
        encode_chunked(tokenizer, ct, 30)
