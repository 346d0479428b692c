"""Layers whose weight is computed: weight_norm in both of torch's forms, and what is refused."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, spectral_norm
from torch.nn.utils import weight_norm as weight_norm_by_hook

from tomolift.inflation import Random, UnsupportedLayerError, inflate

Check = Callable[..., None]
Put = Callable[..., nn.Module]


def by_hook(layer: nn.Module, dim: int | None = 0) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's, about the older form
        return weight_norm_by_hook(layer, dim=dim)  # type: ignore[arg-type]


def by_parametrization(layer: nn.Module, dim: int | None = 0) -> nn.Module:
    return parametrizations.weight_norm(layer, dim=dim)  # type: ignore[arg-type]


BOTH = pytest.mark.parametrize("put", [by_hook, by_parametrization])


def stretched(layer: nn.Module) -> nn.Module:
    """With lengths that are not those of the directions."""
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if name.endswith(("_g", "original0")):
                parameter.mul_(torch.linspace(0.5, 2, parameter.numel()).view_as(parameter))
    return layer


@BOTH
@pytest.mark.parametrize("dim", [0, 1, 2, 3, None])
@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 8, 3, padding=1),
        nn.Conv2d(4, 8, (4, 3), 2, bias=False),
        nn.ConvTranspose2d(4, 8, 3, 2, 1),
    ],
    ids=repr,
)
def test_a_weight_normed_convolution_is_exact_at_every_slice_of_a_constant_volume(
    put: Put, dim: int | None, layer: nn.Module, assert_constant_volume: Check
) -> None:
    normed = stretched(put(copy.deepcopy(layer).double(), dim))
    for strategy in ("average", "center"):
        assert_constant_volume(normed, strategy=strategy)


@BOTH
def test_the_parameters_of_a_weight_normed_layer_keep_names_flags_and_dtype(put: Put) -> None:
    net2d = nn.Sequential(put(nn.Conv2d(3, 4, 3, padding=1).to(torch.bfloat16)))
    next(net2d.parameters()).requires_grad_(False)
    net3d = inflate(net2d)
    assert set(net3d.state_dict()) == set(net2d.state_dict())
    flags = {name: p.requires_grad for name, p in net2d.named_parameters()}
    assert {name: p.requires_grad for name, p in net3d.named_parameters()} == flags
    assert {p.dtype for p in net3d.parameters()} == {torch.bfloat16}


@BOTH
def test_a_weight_normed_result_trains_copies_and_keeps_its_norm(put: Put) -> None:
    net2d = put(nn.Conv2d(3, 4, 3, padding=1)).eval()
    net2d(torch.ones(1, 3, 8, 8))
    net3d = copy.deepcopy(inflate(net2d))
    assert not net3d.training
    volume = torch.ones(1, 3, 4, 8, 8)
    net3d(volume).square().mean().backward()
    assert all(p.grad is not None for p in net3d.parameters())
    before = net3d(volume)
    direction = [p for name, p in net3d.named_parameters() if name.endswith(("_v", "original1"))]
    with torch.no_grad():
        direction[0].mul_(5)
    torch.testing.assert_close(net3d(volume), before)


@BOTH
def test_a_weight_normed_linear_layer_stays_bit_for_bit(put: Put) -> None:
    net2d = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1), stretched(put(nn.Linear(4, 3))))
    state = inflate(net2d, example=torch.ones(1, 4, 5, 5)).state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in net2d.state_dict().items())


@BOTH
def test_random_keeps_nothing_of_a_weight_normed_layer(put: Put) -> None:
    for layer in (nn.Conv2d(3, 4, 3, padding=1), nn.Linear(3, 4)):
        plain = inflate(layer, Random(), example=torch.ones(1, 3, 3, 3))
        normed = inflate(put(layer), Random(), example=torch.ones(1, 3, 3, 3))
        torch.testing.assert_close(normed.weight, plain.weight)


class Halved(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight / 2


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (parametrizations.spectral_norm(nn.Conv2d(3, 4, 3)), "SpectralNorm"),
        (parametrizations.orthogonal(nn.Conv2d(3, 4, 3)), "Orthogonal"),
    ],
)
def test_another_rule_for_a_convolutions_weight_is_refused_by_name(
    layer: nn.Module, named: str
) -> None:
    with pytest.raises(
        UnsupportedLayerError, match=rf"^'0': .* computed by {named}.*: take it off before"
    ):
        inflate(nn.Sequential(layer))


def test_the_older_spectral_norm_on_a_convolution_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedLayerError, match=r"^'0': Conv2d has hooks \(weight_norm, spec"):
        inflate(nn.Sequential(spectral_norm(nn.Conv2d(3, 4, 3))))


def test_a_rule_of_ones_own_is_refused_by_name() -> None:
    layer = nn.Conv2d(3, 4, 3)
    parametrize.register_parametrization(layer, "weight", Halved())
    with pytest.raises(UnsupportedLayerError, match=r"^'0': .* computed by Halved"):
        inflate(nn.Sequential(layer))


def test_a_spectral_norm_on_a_layer_for_every_rank_stays() -> None:
    net2d = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(1), parametrizations.spectral_norm(nn.Linear(4, 3))
    ).eval()
    one = torch.ones(1, 4, 5, 5)
    torch.testing.assert_close(inflate(net2d, example=one)(one.unsqueeze(2)), net2d(one))
    with pytest.raises(UnsupportedLayerError, match=r"^'2': .* computed by SpectralNorm"):
        inflate(net2d, Random(), example=one)


def test_the_norm_of_taps_shows_why_a_spectral_norm_cannot_be_put_on_again() -> None:
    weight = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    taps = torch.tensor([0.25, 0.5, 0.25])
    filters = weight.unsqueeze(2) * taps.view(-1, 1, 1)
    norms = [torch.linalg.matrix_norm(each.flatten(1), 2) for each in (filters, weight)]
    torch.testing.assert_close(norms[0], norms[1] * taps.norm())
