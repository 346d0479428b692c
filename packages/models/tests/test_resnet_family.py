"""ResNet-18, -34 and -50: published counts and names, shapes, receptive fields, the 50 anew."""

from __future__ import annotations

import inspect
from itertools import permutations

import pytest
import torch
import torch.nn.functional as F

from tomolift.models import (
    CheckpointError,
    DilatedResNet18,
    DilatedResNet34,
    DilatedResNet50,
    UNet,
    load_pretrained,
    read_checkpoint,
)

# As a user calls it: without the annotations' checks, which only these tests switch on.
unchecked_init = inspect.unwrap(DilatedResNet34.__init__)
FAMILY = {"resnet18": DilatedResNet18, "resnet34": DilatedResNet34, "resnet50": DilatedResNet50}
BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}
WIDTHS = (64, 128, 256, 512)
# torchvision's published counts, with the 1000 classes of its Linear fc
PUBLISHED = {"resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032}
FEATURES = {"resnet18": 512, "resnet34": 512, "resnet50": 2048}


def _count(network):
    return sum(value.numel() for value in network.parameters())


def _filters(name):
    """(filters, channels, kernel) of every convolution up to layer4, by He et al.'s table."""
    yield 64, 3, 7
    before = 64
    for width, blocks in zip(WIDTHS, BLOCKS[name], strict=True):
        after = FEATURES[name] // 512 * width
        for index in range(blocks):
            if name == "resnet50":
                yield from ((width, before, 1), (width, width, 3), (after, width, 1))
            else:
                yield from ((width, before, 3), (width, width, 3))
            if index == 0 and before != after:
                yield after, before, 1
            before = after


@pytest.mark.parametrize("name", FAMILY)
def test_parameter_counts_are_the_published_ones_but_for_the_head(name):
    with torch.device("meta"):
        network = FAMILY[name](7)
    linear = 1000 * FEATURES[name] + 1000
    assert _count(network) == PUBLISHED[name] - linear + 7 * FEATURES[name] + 7


@pytest.mark.parametrize("name", FAMILY)
def test_3d_counts_are_the_2d_ones_with_every_kernel_as_deep_as_it_is_high(name):
    with torch.device("meta"):
        network = FAMILY[name](7, spatial_dims=3)
    filters = sum(out * channels * kernel**3 for out, channels, kernel in _filters(name))
    norms = sum(2 * out for out, _, _ in _filters(name))
    assert _count(network) == filters + norms + 7 * FEATURES[name] + 7


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("name", FAMILY)
def test_sides_shrink_by_the_output_stride_rounded_up(name, output_stride):
    with torch.device("meta"):
        flat = FAMILY[name](3, output_stride=output_stride)
        deep = FAMILY[name](3, spatial_dims=3, output_stride=output_stride)
        low = flat(torch.empty(2, 3, 65, 224), full_resolution=False)
        assert low.shape == (2, 3, -(-65 // output_stride), 224 // output_stride)
        volume = torch.empty(1, 1, 70, 33, 40)
        low = deep(volume, full_resolution=False)
        assert low.shape[2:] == tuple(-(-side // output_stride) for side in (70, 33, 40))
        assert deep(volume).shape == (1, 3, 70, 33, 40)
    assert flat.output_stride == (output_stride,) * 2
    assert deep.output_stride == (output_stride,) * 3


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize(
    ("depth_stride", "expected"), [(1, 1), ("same", 16), ((1, 1, 2, 2, 3), 12)]
)
def test_depth_stride_is_a_choice_of_its_own(name, depth_stride, expected):
    with torch.device("meta"):
        network = FAMILY[name](3, spatial_dims=3, output_stride=16, depth_stride=depth_stride)
        low = network(torch.empty(1, 3, 13, 32, 32), full_resolution=False)
    assert network.output_stride == (expected, 16, 16)
    assert low.shape == (1, 3, -(-13 // expected), 2, 2)


def _worked(name, *, output_stride):
    """1 + the sum of (kernel - 1) * dilation * stride before, layer by layer."""
    field, stride = 1 + 6 * 1 + 2 * 2, 4
    strides, dilations = {
        8: ((1, 2, 1, 1), (1, 1, 2, 4)),
        16: ((1, 2, 2, 1), (1, 1, 1, 2)),
        32: ((1, 2, 2, 2), (1, 1, 1, 1)),
    }[output_stride]
    for blocks, first, dilation in zip(BLOCKS[name], strides, dilations, strict=True):
        threes = blocks if name == "resnet50" else 2 * blocks
        field += 2 * dilation * stride
        stride *= first
        field += (threes - 1) * 2 * dilation * stride
    return field


def _measured(network, side):
    """Extent along the first axis behind the channels of what one output cell depends on."""
    network = network.double().eval().requires_grad_(False)
    for value in network.parameters():  # positive throughout, so that nothing cancels
        value.fill_(1 / value[0].numel() if value.ndim > 1 else 1.0)
    dims = network.spatial_dims
    # a maximum has a gradient at one input only
    network.maxpool = (torch.nn.AvgPool2d if dims == 2 else torch.nn.AvgPool3d)(3, 2, 1)
    x = torch.ones(1, 1, side, *(8,) * (dims - 1), dtype=torch.float64, requires_grad=True)
    output = network(x, full_resolution=False)
    output[0, 0, output.shape[2] // 2].sum().backward()
    seen = x.grad.flatten(3).abs().amax(3).flatten().nonzero().flatten()
    assert seen[0] > 0
    assert seen[-1] < side - 1
    return (seen[-1] - seen[0] + 1).item()


@pytest.mark.parametrize(
    ("name", "output_stride", "expected"),
    [
        ("resnet18", 8, 483),
        ("resnet18", 16, 467),
        ("resnet34", 8, 947),
        ("resnet34", 16, 931),
        ("resnet50", 8, 475),
        ("resnet50", 16, 459),
    ],
)
def test_receptive_fields_are_the_worked_ones(name, output_stride, expected):
    assert _worked(name, output_stride=output_stride) == expected
    assert _measured(FAMILY[name](1, output_stride=output_stride), side=1024) == expected


def test_the_depth_receptive_field_of_the_paper_s_network_is_483_slices():
    assert _measured(DilatedResNet18(1, spatial_dims=3), side=544) == 483


def test_an_undilated_resnet_18_sees_435_cells():
    assert _worked("resnet18", output_stride=32) == 435


def _bottleneck_reference(state, x, *, strides, dilations):
    """ResNet-50 written out with functions; eval mode, 2D, logits at the output stride."""

    def norm(x, name):
        keys = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(state[f"{name}.{key}"] for key in keys))

    x = F.relu(norm(F.conv2d(x, state["conv1.weight"], None, 2, 3), "bn1"))
    x = F.max_pool2d(x, 3, 2, 1)
    for layer, (blocks, first, dilation) in enumerate(
        zip(BLOCKS["resnet50"], strides, dilations, strict=True), start=1
    ):
        for index in range(blocks):
            name, stride = f"layer{layer}.{index}", 1 if index else first
            y = F.relu(norm(F.conv2d(x, state[f"{name}.conv1.weight"]), f"{name}.bn1"))
            y = F.conv2d(y, state[f"{name}.conv2.weight"], None, stride, dilation, dilation)
            y = F.relu(norm(y, f"{name}.bn2"))
            y = norm(F.conv2d(y, state[f"{name}.conv3.weight"]), f"{name}.bn3")
            if index == 0:
                x = F.conv2d(x, state[f"{name}.downsample.0.weight"], None, stride)
                x = norm(x, f"{name}.downsample.1")
            x = F.relu(x + y)
    return F.conv2d(x, state["fc.weight"], state["fc.bias"])


@pytest.mark.parametrize(
    ("output_stride", "strides", "dilations"),
    [(8, (1, 2, 1, 1), (1, 1, 2, 4)), (16, (1, 2, 2, 1), (1, 1, 1, 2))],
)
def test_resnet_50_computes_what_its_table_says(
    randomise, generator, output_stride, strides, dilations
):
    network = DilatedResNet50(5, output_stride=output_stride, generator=generator)
    network = randomise(network).double().eval()
    torch.nn.init.normal_(network.fc.weight, generator=generator)
    x = torch.rand(1, 3, 65, 48, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        expected = _bottleneck_reference(
            network.state_dict(), x, strides=strides, dilations=dilations
        )
        torch.testing.assert_close(network(x, full_resolution=False), expected)


@pytest.mark.parametrize("name", FAMILY)
def test_every_weight_is_drawn_once_in_the_order_of_the_names(name, generator):
    network = FAMILY[name](3, generator=generator)
    again = torch.Generator().manual_seed(0)
    for key, value in network.named_parameters():
        if value.ndim == 4:
            std = 0.01 if key == "fc.weight" else (2 / value[:, 0].numel()) ** 0.5
            torch.testing.assert_close(value, torch.randn(value.shape, generator=again) * std)
    assert torch.equal(generator.get_state(), again.get_state())


def _torchvision_names(name):
    convolutions = 3 if name == "resnet50" else 2
    norm = ("weight", "bias", "running_mean", "running_var")
    layers = [("conv1", "bn1")]
    for layer, blocks in enumerate(BLOCKS[name], start=1):
        for block in range(blocks):
            place = f"layer{layer}.{block}"
            layers += [(f"{place}.conv{i}", f"{place}.bn{i}") for i in range(1, convolutions + 1)]
            if block == 0 and (layer > 1 or name == "resnet50"):
                layers.append((f"{place}.downsample.0", f"{place}.downsample.1"))
    for convolution, batch_norm in layers:
        yield f"{convolution}.weight"
        yield from (f"{batch_norm}.{key}" for key in norm)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Checkpoints with torchvision's names, and its Linear fc; the values are drawn."""
    folder, checkpoints = tmp_path_factory.mktemp("published"), {}
    for name, kind in FAMILY.items():
        own = kind(3, generator=torch.Generator().manual_seed(4)).state_dict()
        head = {"fc.weight": torch.ones(1000, FEATURES[name]), "fc.bias": torch.ones(1000)}
        state = {key: own[key] for key in _torchvision_names(name)}
        torch.save(state | head, folder / f"{name}.pth")
        checkpoints[name] = read_checkpoint(folder / f"{name}.pth")
    return checkpoints


@pytest.mark.parametrize(
    ("name", "size"), [("resnet18", 100), ("resnet34", 180), ("resnet50", 265)]
)
def test_torchvision_s_names_fill_all_but_the_head(name, size, published):
    network = FAMILY[name](3)
    report = load_pretrained(network, published[name])
    assert len(report.matched) == size
    assert report.reinitialised == ("fc.weight", "fc.bias")
    assert set(report.unused) == {"fc.weight", "fc.bias"}
    for key in report.matched:
        assert torch.equal(network.state_dict()[key], published[name].state_dict[key])


@pytest.mark.parametrize(("name", "other"), list(permutations(FAMILY, 2)))
@pytest.mark.parametrize("kind", ["dilated", "u-net"])
def test_no_network_takes_weights_of_another_depth(name, other, kind, published):
    with torch.device("meta"):
        network = FAMILY[name](3) if kind == "dilated" else UNet(3, encoder=name)
    with pytest.raises(CheckpointError, match="another architecture; pass weights of this network"):
        load_pretrained(network, published[other])


def test_an_unknown_output_stride_is_refused_in_one_line():
    with pytest.raises(ValueError, match=r"^output_stride=4, expected 8 or 16: pass one of them$"):
        unchecked_init(DilatedResNet34.__new__(DilatedResNet34), 3, output_stride=4)
