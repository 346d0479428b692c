"""Weight standardisation (design fact F10), with a layer as a user has it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tomolift.inflation import (
    Layer,
    UnsupportedLayerError,
    fold_weight_standardization,
    inflate,
    inflate_layer,
    register_layer,
)
from tomolift.inflation.layers import _registry

Check = Callable[..., None]


class StandardisedConv2d(nn.Conv2d):
    """Standardises by a batch norm over the filters, as is usual, with a gain per filter."""

    def __init__(self, *args: int, **kwargs: bool) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.gain = nn.Parameter(torch.linspace(0.5, 2, self.out_channels).view(-1, 1, 1, 1))

    def forward(self, input: Tensor) -> Tensor:
        rows = self.weight.reshape(1, self.out_channels, -1)
        rows = F.batch_norm(rows, None, None, training=True, momentum=0.0, eps=1e-6)
        return self._conv_forward(input, rows.view_as(self.weight) * self.gain, self.bias)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_registry, "_REGISTRY", dict(_registry._REGISTRY))

    @register_layer(StandardisedConv2d)
    def inflate_standardised(module: StandardisedConv2d, layer: Layer) -> nn.Module | None:
        plain = fold_weight_standardization(module, eps=1e-6, gain=module.gain)
        return inflate_layer(plain, layer)


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("strategy", ["average", "center", "negative"])
def test_f10_a_standardised_convolution_is_folded_and_exact_at_every_slice(
    strategy: str, assert_constant_volume: Check
) -> None:
    for layer in (StandardisedConv2d(4, 8, 3, 2, 1), StandardisedConv2d(4, 8, 3, groups=2)):
        assert_constant_volume(layer.double(), strategy=strategy)


@torch.no_grad()
def test_f10_standardising_the_inflated_filter_instead_is_as_many_times_too_large_as_it_has_taps(
    make_slices: Callable[..., Tensor],
) -> None:
    weight = torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(2))
    filters = weight.unsqueeze(2).expand(-1, -1, 3, -1, -1) / 3
    deviation = filters.var((1, 2, 3, 4), correction=0, keepdim=True).sqrt()
    wrong = (filters - filters.mean((1, 2, 3, 4), keepdim=True)) / deviation
    right = nn.Conv2d(3, 8, 3, bias=False)
    right.weight.copy_(weight)
    one = make_slices(1)
    expected = fold_weight_standardization(right, eps=0.0)(one)
    result = F.conv3d(one.unsqueeze(2).expand(-1, -1, 3, -1, -1), wrong)[:, :, 0]
    torch.testing.assert_close(result, 3 * expected, atol=1e-4, rtol=1e-4)


def test_a_standardised_convolution_that_nobody_registered_is_refused() -> None:
    with pytest.raises(UnsupportedLayerError, match="StandardisedConv2d is a subclass of Conv2d"):
        inflate(nn.Sequential(StandardisedConv2d(3, 4, 3)))


def test_folding_keeps_geometry_mode_and_flags_and_leaves_the_source() -> None:
    source = nn.Conv2d(4, 8, (3, 5), (2, 1), (1, 2), (1, 2), 2, padding_mode="circular").eval()
    source.weight.requires_grad_(False)
    before = source.weight.clone()
    plain = fold_weight_standardization(source, eps=1e-6, gain=2.0)
    assert repr(plain) == repr(source)
    assert not plain.training
    assert not plain.weight.requires_grad
    assert plain.bias is not None
    assert plain.bias.requires_grad
    assert torch.equal(source.weight, before)
