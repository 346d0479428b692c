"""tomolift.inflation meets the networks of tomolift.models, which know nothing of one another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tomolift.inflation import (
    Strategy,
    check_inflation,
    inflate,
    inflate_state_dict,
    resolve_strategy,
)
from tomolift.models import (
    DilatedResNet,
    DilatedResNet18,
    DilatedResNet34,
    DilatedResNet50,
    load_pretrained,
    read_checkpoint,
)

TOLERANCE = 1e-5  # issue 2: max|a - b| / max|b|, eval mode, fp32
DEPTH = 11


def relative_error(result: Tensor, reference: Tensor) -> float:
    return ((result - reference).abs().max() / reference.abs().max()).item()


def draw_norms(net: nn.Module) -> None:
    """Random weight, bias and running statistics, so that no norm is an identity."""
    generator = torch.Generator().manual_seed(2)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, 0.0, 0.2, generator=generator)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0.0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)


@pytest.fixture(scope="module")
def net2d() -> DilatedResNet18:
    net = DilatedResNet18(3, generator=torch.Generator().manual_seed(0))
    draw_norms(net)
    nn.init.normal_(net.fc.bias, generator=torch.Generator().manual_seed(3))  # type: ignore[arg-type]
    return net.eval()


@pytest.fixture(scope="module")
def slices() -> Tensor:
    return torch.randn(DEPTH, 3, 40, 32, generator=torch.Generator().manual_seed(1))


def twin(
    net2d: DilatedResNet18, strategy: str | Strategy, depth_padding: str, depth_stride: object
) -> DilatedResNet18:
    """The 3D arm as training makes it."""
    net3d = DilatedResNet18(
        3,
        spatial_dims=3,
        depth_padding=depth_padding,  # type: ignore[arg-type]
        depth_stride=depth_stride,  # type: ignore[arg-type]
    )
    state = inflate_state_dict(net2d.state_dict(), like=net3d, strategy=strategy)
    net3d.load_state_dict(state, strict=True)
    return net3d.eval()


@torch.no_grad()
@pytest.mark.parametrize("depth_padding", ["zeros", "replicate"])
def test_zero_inflation_without_depth_stride_equals_2d_slice_by_slice_on_a_random_volume(
    net2d: DilatedResNet18, slices: Tensor, depth_padding: str
) -> None:
    net3d = twin(net2d, "zero", depth_padding, 1)
    logits, reference = net3d(slices.transpose(0, 1).unsqueeze(0)), net2d(slices)
    for position in range(DEPTH):
        assert relative_error(logits[0, :, position], reference[position]) < TOLERANCE


@torch.no_grad()
@pytest.mark.parametrize("strategy", ["average", "scaling", "zero"])
def test_replicate_padding_equals_2d_at_every_slice_of_a_constant_volume(
    net2d: DilatedResNet18, slices: Tensor, strategy: str
) -> None:
    net3d = twin(net2d, strategy, "replicate", "same")
    one = slices[:1]
    logits, reference = net3d(one.unsqueeze(2).expand(-1, -1, 24, -1, -1)), net2d(one)
    for position in range(24):
        assert relative_error(logits[:, :, position], reference) < TOLERANCE


@torch.no_grad()
def test_zeros_padding_is_off_at_every_slice_of_a_short_constant_volume(
    net2d: DilatedResNet18, slices: Tensor
) -> None:
    """Why training offers replicate: the depth receptive field is 483 slices."""
    net3d = twin(net2d, "average", "zeros", "same")
    one = slices[:1]
    logits, reference = net3d(one.unsqueeze(2).expand(-1, -1, 16, -1, -1)), net2d(one)
    assert min(relative_error(logits[:, :, position], reference) for position in range(16)) > 0.01


@torch.no_grad()
@pytest.mark.parametrize("depth_padding", ["zeros", "replicate"])
@pytest.mark.parametrize("depth_stride", ["same", 1])
def test_generic_inflation_is_the_3d_definition_with_inflated_tensors(
    net2d: DilatedResNet18, slices: Tensor, depth_padding: str, depth_stride: str | int
) -> None:
    by_layers = inflate(
        net2d,
        "scaling",
        depth_padding=depth_padding,  # type: ignore[arg-type]
        depth_stride=depth_stride,  # type: ignore[arg-type]
    )
    by_tensors = twin(net2d, "scaling", depth_padding, depth_stride)
    assert by_layers.output_stride == by_tensors.output_stride
    assert by_layers.spatial_dims == 3
    volume = slices.transpose(0, 1).unsqueeze(0)
    for full_resolution, channels in ((True, 3), (False, 1)):  # 1: grey folding
        result = by_layers(volume[:, :channels], full_resolution=full_resolution)
        reference = by_tensors(volume[:, :channels], full_resolution=full_resolution)
        assert relative_error(result, reference) < 1e-6


@torch.no_grad()
@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("kind", [DilatedResNet34, DilatedResNet50])
def test_deeper_networks_inflate_to_their_3d_definition_and_keep_every_slice(
    kind: type[DilatedResNet], output_stride: int, slices: Tensor
) -> None:
    options: dict[str, Any] = {"output_stride": output_stride}
    source = kind(3, generator=torch.Generator().manual_seed(0), **options).eval()
    draw_norms(source)
    with torch.device("meta"):
        definition = kind(3, spatial_dims=3, depth_padding="replicate", **options)
    net3d = inflate(source, "average")
    assert {name: value.shape for name, value in net3d.state_dict().items()} == {
        name: value.shape for name, value in definition.state_dict().items()
    }
    assert net3d.output_stride == definition.output_stride == (output_stride,) * 3
    state = inflate_state_dict(source.state_dict(), like=net3d, strategy="average")
    assert all(torch.equal(value, state[name]) for name, value in net3d.state_dict().items())
    one = slices[:1]
    logits, reference = net3d(one.unsqueeze(2).expand(-1, -1, 9, -1, -1)), source(one)
    for position in range(9):
        assert relative_error(logits[:, :, position], reference) < TOLERANCE


@pytest.mark.parametrize("strategy", ["zero", "average", "scaling", "triangular", "negative"])
def test_generic_inflation_gives_the_tensors_of_inflate_state_dict(
    net2d: DilatedResNet18, strategy: str
) -> None:
    result = inflate(net2d, strategy).state_dict()
    expected = twin(net2d, strategy, "replicate", "same").state_dict()
    assert list(result) == list(expected)
    assert all(torch.equal(expected[name], tensor) for name, tensor in result.items())


def test_the_check_names_the_contract_of_each_paper_arm(net2d: DilatedResNet18) -> None:
    example = torch.zeros(1, 3, 32, 32)
    arms = {
        "zero": (1, "slicewise"),
        "average": ("same", "constant_volume"),
        "scaling": ("same", "constant_volume"),
    }
    for strategy, (depth_stride, contract) in arms.items():
        net3d = inflate(net2d, strategy, depth_stride=depth_stride)  # type: ignore[arg-type]
        assert check_inflation(net2d, net3d, depth=9, example=example).contract == contract


def test_the_random_arm_takes_nothing_over(net2d: DilatedResNet18) -> None:
    net3d = DilatedResNet18(3, spatial_dims=3, generator=torch.Generator().manual_seed(5))
    state = inflate_state_dict(net2d.state_dict(), like=net3d, strategy="random")
    assert all(torch.equal(state[name], value) for name, value in net3d.state_dict().items())
    assert not any(torch.equal(state[n], v) for n, v in net2d.state_dict().items() if "bn1.w" in n)


def test_the_stem_has_the_papers_seven_alphas(net2d: DilatedResNet18) -> None:
    weight = twin(net2d, "scaling", "zeros", "same").conv1.weight
    for tap, alpha in enumerate((0.05, 0.1, 0.2, 0.3, 0.2, 0.1, 0.05)):
        torch.testing.assert_close(weight[:, :, tap], alpha * net2d.conv1.weight)
    assert resolve_strategy("scaling").taps(3).tolist() == [0.25, 0.5, 0.25]  # type: ignore[attr-defined]


@torch.no_grad()
def test_real_pretrained_weights_keep_their_answer_at_every_slice(
    slices: Tensor, shared: Path
) -> None:
    checkpoint = read_checkpoint(shared / "weights" / "resnet18_8s_camvid.pth")
    source = DilatedResNet18(checkpoint.num_classes or 3)
    load_pretrained(source, checkpoint)
    net3d = inflate(source.eval(), "average")
    one = slices[:1].sigmoid()
    logits, reference = net3d(one.unsqueeze(2).expand(-1, -1, 12, -1, -1)), source(one)
    for position in range(12):
        assert relative_error(logits[:, :, position], reference) < TOLERANCE
