from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tomolift.models import DilatedResNet18
from tomolift.models._convolution import ReplicateDepthConv3d


def _lift(slicewise, volumetric, *, rule):
    """Copy a 2D network into a 3D one, kernels by the rule, the rest as it is."""
    for name, target in volumetric.state_dict().items():
        source = slicewise.state_dict()[name]
        if target.ndim == 5:
            taps = target.shape[2]
            lifted = torch.zeros_like(target)
            if rule == "centre":
                lifted[:, :, taps // 2] = source
            else:
                lifted[:] = source.unsqueeze(2) / taps
            source = lifted
        target.copy_(source)


@pytest.fixture
def slicewise(randomise, generator):
    network = randomise(DilatedResNet18(3, generator=generator)).eval()
    torch.nn.init.normal_(network.fc.weight, generator=generator)
    return network


def _relative(actual, expected):
    return ((actual - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize("depth_padding", ["zeros", "replicate"])
def test_centre_kernels_without_depth_stride_equal_the_2d_network_on_every_slice(
    slicewise, generator, depth_padding
):
    network = DilatedResNet18(3, spatial_dims=3, depth_padding=depth_padding, depth_stride=1).eval()
    volume = torch.rand(1, 3, 5, 25, 24, generator=generator)
    with torch.no_grad():
        _lift(slicewise, network, rule="centre")
        logits = network(volume)
        for index in range(5):
            assert _relative(logits[:, :, index], slicewise(volume[:, :, index])) < 1e-5


def test_centre_kernels_with_depth_stride_equal_the_2d_network_on_every_eighth_slice(
    slicewise, generator
):
    strides = (2, 1, 2, 2, 1)  # no depth pooling, which would mix slices
    network = DilatedResNet18(3, spatial_dims=3, depth_stride=strides).eval()
    volume = torch.rand(1, 3, 17, 24, 24, generator=generator)
    with torch.no_grad():
        _lift(slicewise, network, rule="centre")
        logits = network(volume, full_resolution=False)
        assert logits.shape[2] == 3
        for index in range(3):
            expected = slicewise(volume[:, :, 8 * index], full_resolution=False)
            assert _relative(logits[:, :, index], expected) < 1e-5


@pytest.mark.parametrize("depth_stride", ["same", 1])
def test_replicate_depth_padding_keeps_end_slices_exact(slicewise, generator, depth_stride):
    network = DilatedResNet18(
        3, spatial_dims=3, depth_padding="replicate", depth_stride=depth_stride
    ).eval()
    picture = torch.rand(1, 3, 24, 33, generator=generator)
    volume = picture.unsqueeze(2).repeat(1, 1, 16, 1, 1)
    with torch.no_grad():
        _lift(slicewise, network, rule="average")
        logits, expected = network(volume), slicewise(picture)
        for index in range(16):
            assert _relative(logits[:, :, index], expected) < 1e-5


def test_zero_depth_padding_does_not_keep_end_slices_exact(slicewise, generator):
    network = DilatedResNet18(3, spatial_dims=3).eval()
    picture = torch.rand(1, 3, 24, 33, generator=generator)
    with torch.no_grad():
        _lift(slicewise, network, rule="average")
        logits = network(picture.unsqueeze(2).repeat(1, 1, 16, 1, 1))
        assert _relative(logits[:, :, 0], slicewise(picture)) > 0.01


@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(7, 2, 1), (3, 1, 4), (3, 2, 2)])
@pytest.mark.parametrize("depth", [1, 2, 9])
def test_replicating_convolution_reads_the_nearest_slice(kernel, stride, dilation, depth):
    padding = dilation * (kernel // 2)
    layer = ReplicateDepthConv3d(
        2, 3, kernel, stride, padding, dilation, bias=True, dtype=torch.float64
    )
    x = torch.rand(2, 2, depth, 9, 8, dtype=torch.float64)
    nearest = x[:, :, torch.arange(-padding, depth + padding).clamp(0, depth - 1)]
    expected = F.conv3d(nearest, layer.weight, layer.bias, stride, (0, padding, padding), dilation)
    torch.testing.assert_close(layer(x), expected)


def test_replicating_convolution_has_the_right_gradient():
    layer = ReplicateDepthConv3d(1, 1, 3, padding=1, dtype=torch.float64)
    x = torch.rand(1, 1, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))


@pytest.mark.parametrize(
    ("depth_stride", "expected"),
    [("same", 8), (1, 1), (2, 8), ((1, 1, 1, 2, 1), 2), ((2, 1, 2, 1, 2), 8), ((1, 2, 1, 1, 3), 6)],
)
def test_depth_stride_multiplies_out_and_shrinks_the_depth(depth_stride, expected):
    with torch.device("meta"):
        network = DilatedResNet18(3, spatial_dims=3, depth_stride=depth_stride)
        assert network.output_stride == (expected, 8, 8)
        logits = network(torch.empty(1, 1, 13, 16, 16), full_resolution=False)
        assert logits.shape[2] == -(-13 // expected)


def test_depth_stride_never_changes_the_names():
    with torch.device("meta"):
        usual = DilatedResNet18(3, spatial_dims=3)
        strided = DilatedResNet18(3, spatial_dims=3, depth_stride=(1, 1, 2, 2, 2))
    assert list(usual.state_dict()) == list(strided.state_dict())


def test_a_pool_without_depth_stride_sees_one_slice():
    assert DilatedResNet18(3, spatial_dims=3, depth_stride=1).maxpool.kernel_size == (1, 3, 3)
    assert DilatedResNet18(3, spatial_dims=3).maxpool.kernel_size == 3


def test_replicate_padding_keeps_channels_last_under_bf16(generator):
    network = DilatedResNet18(3, spatial_dims=3, depth_padding="replicate", generator=generator)
    network = network.to(memory_format=torch.channels_last_3d).eval()
    layouts = []
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv3d):
            layer.register_forward_hook(
                lambda _layer, _input, output: layouts.append(
                    (output.is_contiguous(memory_format=torch.channels_last_3d), output.dtype)
                )
            )
    x = torch.rand(1, 1, 8, 32, 32, generator=generator)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        network(x)
    assert layouts == [(True, torch.bfloat16)] * 21
