"""A U-Net of tomolift.models inflates whole, encoder and decoder, and stays what it was in 2D."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tomolift.inflation import check_inflation, inflate, inflate_state_dict
from tomolift.models import UNet, load_pretrained, read_checkpoint

TOLERANCE = 1e-5  # max|a - b| / max|b|, eval mode, fp32
UPSAMPLINGS = ("linear", "transposed")


def draw(net: nn.Module) -> nn.Module:
    """Norms that are no identity, and a head whose logits are not all near zero."""
    generator = torch.Generator().manual_seed(2)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, 0.0, 0.2, generator=generator)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0.0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return net.eval()


def u_net(upsampling: str, **options: Any) -> UNet:
    """The 2D network, with a decoder narrow enough for tests that are quick."""
    generator = torch.Generator().manual_seed(0)
    narrow: Any = {"upsampling": upsampling, "decoder_channels": (32, 32, 16, 16)}
    return UNet(3, generator=generator, **(narrow | options))


def relative_error(result: Tensor, reference: Tensor) -> float:
    return ((result - reference).abs().max() / reference.abs().max()).item()


@torch.no_grad()
@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@pytest.mark.parametrize("strategy", ["average", "scaling", "zero"])
def test_every_slice_of_a_constant_volume_has_the_2d_answer(upsampling: str, strategy: str) -> None:
    net2d = draw(u_net(upsampling))
    net3d = inflate(net2d, strategy)
    one = torch.randn(1, 3, 45, 34, generator=torch.Generator().manual_seed(1))  # no multiples
    logits, reference = net3d(one.unsqueeze(2).expand(-1, -1, 21, -1, -1)), net2d(one)
    for position in range(21):
        assert relative_error(logits[:, :, position], reference) < TOLERANCE


@torch.no_grad()
@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
def test_zero_inflation_without_depth_stride_equals_2d_slice_by_slice(upsampling: str) -> None:
    net2d = draw(u_net(upsampling))
    net3d = inflate(net2d, "zero", depth_stride=1)
    slices = torch.randn(6, 3, 45, 34, generator=torch.Generator().manual_seed(1))
    logits, reference = net3d(slices.transpose(0, 1).unsqueeze(0)), net2d(slices)
    for position in range(6):
        assert relative_error(logits[0, :, position], reference[position]) < TOLERANCE


@torch.no_grad()
@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@pytest.mark.parametrize("depth_padding", ["zeros", "replicate"])
@pytest.mark.parametrize("depth_stride", ["same", 1])
def test_inflating_the_network_is_the_3d_definition_with_inflated_tensors(
    upsampling: str, depth_padding: Any, depth_stride: Any
) -> None:
    net2d = draw(u_net(upsampling))
    depth = {"depth_padding": depth_padding, "depth_stride": depth_stride}
    by_layers = inflate(net2d, "scaling", **depth)
    by_tensors = u_net(upsampling, spatial_dims=3, **depth).eval()
    state = inflate_state_dict(net2d.state_dict(), like=by_tensors, strategy="scaling")
    by_tensors.load_state_dict(state, strict=True)
    assert list(by_layers.state_dict()) == list(state)
    assert all(torch.equal(value, state[name]) for name, value in by_layers.state_dict().items())
    assert by_layers.output_stride == by_tensors.output_stride
    volume = torch.randn(1, 3, 11, 45, 34, generator=torch.Generator().manual_seed(1))
    for full_resolution, channels in ((True, 3), (False, 1)):  # 1: grey folding
        result = by_layers(volume[:, :channels], full_resolution=full_resolution)
        reference = by_tensors(volume[:, :channels], full_resolution=full_resolution)
        assert result.shape == reference.shape
        assert relative_error(result, reference) < TOLERANCE


def test_the_check_names_the_contract_of_each_strategy() -> None:
    net2d, example = draw(u_net("linear")), torch.zeros(1, 3, 45, 34)
    arms: dict[str, tuple[Any, str]] = {
        "zero": (1, "slicewise"),
        "average": ("same", "constant_volume"),
    }
    for strategy, (depth_stride, contract) in arms.items():
        net3d = inflate(net2d, strategy, depth_stride=depth_stride)
        assert check_inflation(net2d, net3d, depth=9, example=example).contract == contract


@torch.no_grad()
@pytest.mark.parametrize("encoder", ["resnet34", "resnet50"])
def test_deeper_encoders_inflate_too(encoder: str) -> None:
    net2d = draw(u_net("transposed", encoder=encoder, decoder_channels=(16, 16, 16, 16, 8)))
    net3d = inflate(net2d, "average")
    one = torch.randn(1, 3, 33, 32, generator=torch.Generator().manual_seed(1))
    logits, reference = net3d(one.unsqueeze(2).expand(-1, -1, 9, -1, -1)), net2d(one)
    for position in range(9):
        assert relative_error(logits[:, :, position], reference) < TOLERANCE


@torch.no_grad()
def test_a_pre_trained_encoder_keeps_its_answer_at_every_slice(shared: Path) -> None:
    net2d = u_net("linear").eval()
    report = load_pretrained(
        net2d, read_checkpoint(shared / "weights" / "resnet18_tinyimagenet.safetensors")
    )
    assert len(report.matched) == 100
    net3d = inflate(net2d, "average")
    one = torch.rand(1, 3, 64, 48, generator=torch.Generator().manual_seed(1))
    logits, reference = net3d(one.unsqueeze(2).expand(-1, -1, 12, -1, -1)), net2d(one)
    for position in range(12):
        assert relative_error(logits[:, :, position], reference) < TOLERANCE
