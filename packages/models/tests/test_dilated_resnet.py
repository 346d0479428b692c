from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from tomolift.models import DilatedResNet18


def _tensors(network):
    return [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]


def _reference(state, x, *, full_resolution):
    """The table of the paper, written out; eval mode, 2D."""

    def norm(x, name):
        keys = ("running_mean", "running_var", "weight", "bias")
        mean, var, weight, bias = (state[f"{name}.{key}"][:, None, None] for key in keys)
        return (x - mean) / torch.sqrt(var + 1e-5) * weight + bias

    def block(x, name, *, stride, dilation):
        y = F.conv2d(x, state[f"{name}.conv1.weight"], None, stride, dilation, dilation)
        y = F.relu(norm(y, f"{name}.bn1"))
        y = F.conv2d(y, state[f"{name}.conv2.weight"], None, 1, dilation, dilation)
        y = norm(y, f"{name}.bn2")
        if f"{name}.downsample.0.weight" in state:
            x = F.conv2d(x, state[f"{name}.downsample.0.weight"], None, stride)
            x = norm(x, f"{name}.downsample.1")
        return F.relu(x + y)

    y = F.relu(norm(F.conv2d(x, state["conv1.weight"], None, 2, 3), "bn1"))
    y = F.max_pool2d(y, 3, 2, 1)
    for layer, stride, dilation in ((1, 1, 1), (2, 2, 1), (3, 1, 2), (4, 1, 4)):
        y = block(y, f"layer{layer}.0", stride=stride, dilation=dilation)
        y = block(y, f"layer{layer}.1", stride=1, dilation=dilation)
    y = F.conv2d(y, state["fc.weight"], state["fc.bias"])
    if not full_resolution:
        return y
    return F.interpolate(y, x.shape[2:], mode="bilinear", align_corners=True)


@pytest.mark.parametrize("full_resolution", [True, False])
def test_slices_give_the_logits_of_the_paper_s_table(randomise, generator, full_resolution):
    network = randomise(DilatedResNet18(5, generator=generator)).double().eval()
    torch.nn.init.normal_(network.fc.weight, generator=generator)
    x = torch.rand(2, 3, 65, 48, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        expected = _reference(network.state_dict(), x, full_resolution=full_resolution)
        torch.testing.assert_close(network(x, full_resolution=full_resolution), expected)


def test_parameter_counts_are_the_paper_s():
    count = sum(value.numel() for value in DilatedResNet18(21).parameters())
    assert count == 11_187_285
    assert count - 21 * 512 - 21 == 11_176_512
    volumetric = DilatedResNet18(3, spatial_dims=3)
    assert round(sum(value.numel() for value in volumetric.parameters()) / 1e6, 1) == 33.2


def test_names_are_torchvision_s_and_the_same_in_two_and_three_dimensions():
    names = _tensors(DilatedResNet18(21))
    assert len(names) == 102
    assert names[:2] == ["conv1.weight", "bn1.weight"]
    assert "layer1.0.downsample.0.weight" not in names
    assert {f"layer{layer}.0.downsample.1.running_var" for layer in (2, 3, 4)} <= set(names)
    assert names[-2:] == ["fc.weight", "fc.bias"]
    assert _tensors(DilatedResNet18(21, spatial_dims=3)) == names


@pytest.mark.parametrize(("side", "expected"), [(224, 28), (65, 9)])
def test_low_resolution_side_is_an_eighth_rounded_up(side, expected):
    with torch.device("meta"):
        network = DilatedResNet18(21)
        logits = network(torch.empty(1, 3, side, side), full_resolution=False)
        assert logits.shape == (1, 21, expected, expected)
        assert network(torch.empty(1, 3, side, side)).shape == (1, 21, side, side)


@pytest.mark.parametrize("depth_padding", ["zeros", "replicate"])
def test_depth_70_becomes_9_and_comes_back(depth_padding):
    with torch.device("meta"):
        network = DilatedResNet18(3, spatial_dims=3, depth_padding=depth_padding)
        x = torch.empty(2, 1, 70, 96, 64)
        assert network.output_stride == (8, 8, 8)
        assert network(x, full_resolution=False).shape == (2, 3, 9, 12, 8)
        assert network(x).shape == (2, 3, 70, 96, 64)


def test_depth_passes_through_35_and_18():
    with torch.device("meta"):
        network = DilatedResNet18(3, spatial_dims=3)
        seen = {}
        for name in ("conv1", "maxpool", "layer2"):
            network.get_submodule(name).register_forward_hook(
                lambda _module, _input, output, name=name: seen.update({name: output.shape[2]})
            )
        network(torch.empty(1, 1, 70, 16, 16))
    assert seen == {"conv1": 35, "maxpool": 18, "layer2": 9}


def test_train_and_eval_mode_return_the_same_shapes(generator):
    network = DilatedResNet18(4, generator=generator)
    x = torch.rand(2, 3, 33, 40, generator=generator)
    for full_resolution, size in ((True, (33, 40)), (False, (5, 5))):
        for mode in (True, False):
            logits = network.train(mode)(x, full_resolution=full_resolution)
            assert logits.shape == (2, 4, *size)


def test_initialisation_is_kaiming_fan_out_over_all_axes(generator):
    network = DilatedResNet18(3, spatial_dims=3, generator=generator)
    for name, channels, kernel in (("conv1", 64, 343), ("layer4.1.conv2", 512, 27)):
        weight = network.get_submodule(name).weight
        # The standard error of a standard deviation is 1 / sqrt(2 n) of it; five of them.
        tolerance = 5 / (2 * weight.numel()) ** 0.5
        assert weight.std().item() == pytest.approx((2 / (channels * kernel)) ** 0.5, rel=tolerance)
    assert network.fc.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert network.fc.bias.count_nonzero() == 0
    norm = network.bn1
    assert (norm.weight == 1).all()
    assert (norm.bias == 0).all()
    assert (norm.running_mean == 0).all()
    assert (norm.running_var == 1).all()
    assert norm.num_batches_tracked == 0


def test_a_generator_decides_the_weights_and_leaves_the_global_one_alone():
    before = torch.get_rng_state()
    first = DilatedResNet18(3, generator=torch.Generator().manual_seed(5))
    second = DilatedResNet18(3, generator=torch.Generator().manual_seed(5))
    assert torch.equal(before, torch.get_rng_state())
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])


def test_every_weight_is_drawn_once(generator):
    network = DilatedResNet18(3, generator=generator)
    again = torch.Generator().manual_seed(0)
    for name, value in network.named_parameters():
        if value.ndim == 4:
            std = 0.01 if name == "fc.weight" else (2 / (value[:, 0].numel())) ** 0.5
            torch.testing.assert_close(value, torch.randn(value.shape, generator=again) * std)
    assert torch.equal(generator.get_state(), again.get_state())


def test_attributes_describe_the_network():
    network = DilatedResNet18(7, in_channels=2)
    assert (network.num_classes, network.in_channels) == (7, 2)
    assert (network.spatial_dims, network.output_stride) == (2, (8, 8))


def test_a_copy_whose_layers_were_made_3d_runs_on_volumes(generator):
    volumetric = DilatedResNet18(3, spatial_dims=3, generator=generator).eval()
    converted = copy.deepcopy(DilatedResNet18(3)).eval()
    for name, layer in volumetric.named_children():
        setattr(converted, name, layer)
    x = torch.rand(1, 1, 9, 16, 17, generator=generator)
    assert converted.output_stride == (8, 8, 8)
    with torch.no_grad():
        assert torch.equal(converted(x), volumetric(x))


def test_compiles_without_graph_breaks():
    # In a process of its own: the compiler cannot trace the shape checks of these tests.
    program = """
import torch
from tomolift.models import DilatedResNet18
network = DilatedResNet18(3).eval()
compiled = torch.compile(network, fullgraph=True, backend="eager")
with torch.no_grad():
    for channels in (1, 3):
        x = torch.rand(1, channels, 17, 16)
        torch.testing.assert_close(compiled(x), network(x))
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 0}, "num_classes=0, expected an int >= 1"),
        ({"in_channels": -1}, "in_channels=-1, expected an int >= 1"),
        ({"spatial_dims": 2, "depth_stride": 1}, "spatial_dims=2, which has no depth"),
        ({"spatial_dims": 2, "depth_padding": "replicate"}, "spatial_dims=2, which has no depth"),
        ({"spatial_dims": 3, "depth_stride": 0}, "depth_stride=0, expected 'same'"),
        ({"spatial_dims": 3, "depth_stride": (2, 2, 1, 2, 0)}, "a tuple of five"),
    ],
)
def test_arguments_out_of_range_are_named_in_one_line(options, message):
    with pytest.raises(ValueError, match=message) as error:
        DilatedResNet18(**options)
    assert "\n" not in str(error.value)


def test_an_input_of_another_rank_is_refused():
    with pytest.raises(ValueError, match=r"x has 4 axes, expected 5 \(N, C, D, H, W\)"):
        DilatedResNet18(3, spatial_dims=3)(torch.zeros(1, 3, 16, 16))


def test_an_input_with_two_channels_is_refused():
    with pytest.raises(ValueError, match=r"x has 2 channels, expected 1 \(grey\) or 3"):
        DilatedResNet18(3)(torch.zeros(1, 2, 16, 16))
