"""Halving and doubling: sizes that undo each other, and averages and ramps that are known."""

import pytest
import torch
from torch.nn import functional as F

from medsyn2.nn.autoencoder.resampling import (
    DepthLinearUp,
    DepthMixDown,
    DepthMixUp,
    DepthPool,
    PlaneDown,
    PlaneUp,
    SubvoxelUp,
    VolumeDown,
    VolumeUp,
    double,
    pad_right_bottom,
)

ALL_CONVOLUTION, ALL_AVERAGE = -1e3, 1e3


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def volume(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64)


def ramp(depth: int) -> torch.Tensor:
    """A volume whose slices hold their own number."""
    return torch.arange(depth, dtype=torch.float64).view(1, 1, depth, 1, 1).expand(1, 2, depth, 4, 4)


def test_the_plane_is_padded_at_the_end_only():
    x = volume(1, 2, 3, 4, 5)
    padded = pad_right_bottom(x)
    assert padded.shape == (1, 2, 3, 5, 6)
    assert torch.equal(padded[..., :-1, :-1], x)
    assert padded[..., -1, :].abs().sum() == padded[..., -1].abs().sum() == 0


@pytest.mark.parametrize(("planar", "causal"), [(True, True), (False, True), (False, False)])
def test_the_plane_is_halved_within_the_slice(planar, causal):
    down = PlaneDown(2, planar=planar, causal=causal).double()
    x = volume(1, 2, 3, 8, 6)
    whole = down(x)
    assert whole.shape == (1, 2, 3, 4, 3)
    torch.testing.assert_close(whole[:, :, 1:2], down(x[:, :, 1:2]))


def test_the_three_ways_to_halve_the_plane_are_one_with_one_kernel():
    kernel, bias = volume(2, 2, 3, 3), volume(2)
    x = volume(1, 2, 3, 8, 6)
    halved = []
    for planar, causal in ((True, True), (False, True), (False, False)):
        down = PlaneDown(2, planar=planar, causal=causal).double()
        for parameter in down.parameters():
            parameter.data = (bias if parameter.ndim == 1 else kernel).reshape(parameter.shape)
        halved.append(down(x))
    torch.testing.assert_close(halved[0], halved[1])
    torch.testing.assert_close(halved[0], halved[2])


@pytest.mark.parametrize(("front_pad", "depth", "half"), [(1, 8, 4), (2, 8, 4), (2, 9, 5)])
def test_every_way_to_halve_depth_gives_the_same_size(front_pad, depth, half):
    x = volume(1, 2, depth, 4, 4)
    assert DepthPool(front_pad)(x).shape == (1, 2, half, 4, 4)
    assert DepthMixDown(2, front_pad).double()(x).shape == (1, 2, half, 4, 4)
    assert VolumeDown(2, front_pad).double()(x).shape == (1, 2, half, 2, 2)


@pytest.mark.parametrize(("front_pad", "last_seen"), [(1, [1, 3, 5, 7]), (2, [0, 2, 4, 6])])
def test_halving_depth_sees_no_later_slice_than_its_padding_says(front_pad, last_seen):
    for down in (DepthPool(front_pad), DepthMixDown(2, front_pad), VolumeDown(2, front_pad)):
        x = volume(1, 2, 8, 4, 4).requires_grad_()
        y = down.double()(x)
        for index, last in enumerate(last_seen):
            (gradient,) = torch.autograd.grad(y[:, :, index].sum(), x, retain_graph=True)
            assert torch.nonzero(gradient.abs().amax((0, 1, 3, 4))).max() == last


def test_pooled_depth_is_the_average_of_three_slices():
    pooled = DepthPool(1)(ramp(8))[0, 0, :, 0, 0]
    assert pooled.tolist() == pytest.approx([1 / 3, 2.0, 4.0, 6.0])


def test_the_mixture_reaches_from_the_convolution_to_the_average():
    down = DepthMixDown(2, 1).double()
    x = volume(1, 2, 8, 4, 4)
    convolved = down.conv(torch.cat([x[:, :, :1], x], dim=2))
    down.mix_factor.data.fill_(ALL_AVERAGE)
    torch.testing.assert_close(down(x), DepthPool(1)(x))
    down.mix_factor.data.fill_(ALL_CONVOLUTION)
    torch.testing.assert_close(down(x), convolved)


@pytest.mark.parametrize(("first_frame", "doubled"), [(False, 10), (True, 9)])
def test_every_way_to_double_depth_gives_the_same_size(first_frame, doubled):
    x = volume(1, 2, 5, 3, 4)
    assert double(x, plane=1, first_frame=first_frame).shape == (1, 2, doubled, 3, 4)
    assert DepthMixUp(2, first_frame=first_frame).double()(x).shape == (1, 2, doubled, 3, 4)
    assert VolumeUp(2, first_frame=first_frame).double()(x).shape == (1, 2, doubled, 6, 8)


@pytest.mark.parametrize(("first_frame", "front_pad", "depth"), [(False, 1, 8), (True, 2, 9)])
def test_doubling_undoes_halving_in_size(first_frame, front_pad, depth):
    x = volume(1, 2, depth, 8, 8)
    assert VolumeUp(2, first_frame=first_frame).double()(VolumeDown(2, front_pad).double()(x)).shape == x.shape
    mixed = DepthMixUp(2, first_frame=first_frame).double()(DepthMixDown(2, front_pad).double()(x))
    assert mixed.shape == x.shape
    down, up = PlaneDown(2, planar=False, causal=True).double(), PlaneUp(2, convolve=True).double()
    assert up(down(x)).shape == x.shape


def test_doubled_depth_is_linear_between_slices():
    doubled = DepthLinearUp()(ramp(4))[0, 0, :, 0, 0]
    assert doubled.tolist() == pytest.approx([0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0])


def test_a_video_keeps_its_first_frame_single():
    doubled = double(ramp(4), plane=1, first_frame=True)[0, 0, :, 0, 0]
    assert doubled.tolist() == pytest.approx([0.0, 1.0, 1.25, 1.75, 2.25, 2.75, 3.0])
    x = volume(1, 2, 3, 4, 4)
    first = double(x, plane=2, first_frame=True)[:, :, 0]
    torch.testing.assert_close(first, F.interpolate(x[:, :, 0], scale_factor=2, mode="bilinear", align_corners=False))


@pytest.mark.parametrize("plane", [1, 2])
def test_a_single_frame_stays_one(plane):
    x = volume(1, 2, 1, 3, 4)
    assert double(x, plane=plane, first_frame=True).shape == (1, 2, 1, 3 * plane, 4 * plane)
    assert double(x, plane=plane, first_frame=False).shape == (1, 2, 2, 3 * plane, 4 * plane)


def test_without_a_convolution_the_plane_is_repeated():
    x = volume(1, 2, 3, 4, 5)
    up = PlaneUp(2, convolve=False)
    assert not list(up.parameters())
    torch.testing.assert_close(up(x), x.repeat_interleave(2, 3).repeat_interleave(2, 4))


def test_the_mixture_when_doubling_reaches_from_the_convolution_to_the_interpolation():
    up = DepthMixUp(2, first_frame=False).double()
    x = volume(1, 2, 3, 4, 4)
    doubled = DepthLinearUp()(x)
    up.mix_factor.data.fill_(ALL_AVERAGE)
    torch.testing.assert_close(up(x), doubled)
    up.mix_factor.data.fill_(ALL_CONVOLUTION)
    torch.testing.assert_close(up(x), up.conv(doubled))


@pytest.mark.parametrize("first_frame", [False, True])
def test_each_voxel_of_a_block_has_a_kernel_of_its_own(first_frame):
    """With kernels that are one at the voxel itself, times a number of their own, each block holds these numbers."""
    up = SubvoxelUp(2, depth=2, first_frame=first_frame).double()
    numbers = volume(2, 2, 2, 2)  # (channel, i, j, k)
    with torch.no_grad():
        up.conv.conv.weight.zero_()
        up.conv.conv.bias.zero_()
        up.conv.conv.weight[:8, 0, -1, 1, 1], up.conv.conv.weight[8:, 1, -1, 1, 1] = numbers.flatten(1)
    x = volume(3, 2, 4, 5, 6)
    expected = torch.stack([torch.kron(x[:, c], numbers[None, c]) for c in range(2)], dim=1)
    torch.testing.assert_close(up(x), expected[:, :, 1:] if first_frame else expected)


def test_a_plane_alone_keeps_its_depth():
    assert SubvoxelUp(2, depth=1, first_frame=True).double()(volume(1, 2, 3, 4, 5)).shape == (1, 2, 3, 8, 10)
