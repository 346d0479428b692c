"""The forecast of a plan against what `check_inflation` measures."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tomolift.inflation import (
    ACS,
    Layer,
    TwoPlusOne,
    check_inflation,
    inflate,
    plan_inflation,
    register_layer,
)


def stem() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(4))


NETWORKS: dict[str, nn.Sequential] = {
    "convolutions": nn.Sequential(*stem(), nn.Conv2d(4, 4, 3, 1, 2, dilation=2)),
    "even": nn.Sequential(nn.Conv2d(3, 4, 2)),
    "even, padded": nn.Sequential(nn.Conv2d(3, 4, 2, padding=1)),
    "valid": nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)),
    "same": nn.Sequential(nn.Conv2d(3, 4, 3, padding="same")),
    # no ReLU before it, and small windows: of values of which one is positive the maximum hides
    # what zeros take off at an end
    "max pool": nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(2)),
    "average pool": nn.Sequential(nn.Conv2d(3, 4, 1), nn.AvgPool2d(3, 2, 1)),
    "pool that counts no zeros": nn.Sequential(nn.AvgPool2d(3, 2, 1, count_include_pad=False)),
    "global pool": nn.Sequential(*stem(), nn.AdaptiveAvgPool2d(1)),
    "group norm": nn.Sequential(*stem(), nn.GroupNorm(2, 4)),
    "instance norm": nn.Sequential(nn.InstanceNorm2d(3), *stem()),
    "instance norm with statistics": nn.Sequential(
        nn.InstanceNorm2d(3, track_running_stats=True), *stem()
    ),
    "up-sampling": nn.Sequential(*stem(), nn.Upsample(scale_factor=2)),
    "transposed, tiling": nn.Sequential(*stem(), nn.ConvTranspose2d(4, 2, 2, 2)),
    "transposed, overlapping": nn.Sequential(*stem(), nn.ConvTranspose2d(4, 2, 4, 2, 1)),
    "channel dropout": nn.Sequential(*stem(), nn.Dropout2d()),
}
OPTIONS: dict[str, dict[str, object]] = {
    "average": {"strategy": "average"},
    "average, zeros": {"strategy": "average", "depth_padding": "zeros"},
    "centre": {"strategy": "zero"},
    "centre, zeros": {"strategy": "zero", "depth_padding": "zeros"},
    "centre, no depth stride": {"strategy": "zero", "depth_stride": 1},
    "random": {"strategy": "random"},
}
OF_CONVOLUTIONS: dict[str, dict[str, object]] = {
    "turned filters": {"strategy": ACS()},
    "in the slice, then across": {"strategy": TwoPlusOne()},
    "in the slice, then across, zeros": {"strategy": TwoPlusOne(), "depth_padding": "zeros"},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("net2d", NETWORKS.values(), ids=NETWORKS)
def test_the_forecast_is_what_is_measured(net2d: nn.Module, options: dict[str, object]) -> None:
    compare_with_measurement(net2d, options)


@pytest.mark.parametrize("options", OF_CONVOLUTIONS.values(), ids=OF_CONVOLUTIONS)
@pytest.mark.parametrize("name", ["convolutions", "even", "even, padded", "same"])
def test_so_it_is_for_strategies_with_layers_of_their_own(
    name: str, options: dict[str, object]
) -> None:
    compare_with_measurement(NETWORKS[name], options)


def compare_with_measurement(net2d: nn.Module, options: dict[str, object]) -> None:
    forecast = plan_inflation(net2d, **options).forecast  # type: ignore[arg-type]
    net3d = inflate(net2d, **options)  # type: ignore[arg-type]
    report = check_inflation(net2d, net3d, depth=24, example=torch.zeros(1, 3, 12, 12))
    assert forecast.contract == report.contract, forecast
    assert not forecast.unknown


def test_the_first_layer_that_spoils_the_next_stronger_contract_is_named() -> None:
    net2d = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, padding=1), nn.MaxPool2d(2))
    forecast = plan_inflation(net2d).forecast
    assert (forecast.spoiler, forecast.reason) == ("1", "mixes 3 slices (Average)")
    assert plan_inflation(net2d, "zero").forecast.spoiler == "2"


def test_one_spoilt_end_and_a_layer_behind_it_that_couples_slices_leave_nothing() -> None:
    net2d = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.GroupNorm(2, 4))
    forecast = plan_inflation(net2d, depth_padding="zeros").forecast
    assert forecast.contract is None
    assert str(forecast) == (
        "forecast: no contract: '1' spreads over all slices what '0' spoils at the ends"
    )


def test_a_layer_of_a_foreign_type_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    from tomolift.inflation.layers import _registry

    class Foreign(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    monkeypatch.setattr(_registry, "_REGISTRY", dict(_registry._REGISTRY))

    @register_layer(Foreign)
    def keep(module: Foreign, layer: Layer) -> Foreign:
        return module

    plan = plan_inflation(nn.Sequential(nn.Conv2d(3, 4, 1), Foreign()))
    assert plan.forecast.unknown == ("1",)
    assert "not judged: '1', of foreign types; check_inflation measures them" in plan.summary()


def test_turned_filters_and_filters_split_in_two_show_their_depth() -> None:
    net2d = nn.Sequential(nn.Conv2d(3, 4, 2, padding=1))
    (turned,) = plan_inflation(net2d, ACS()).layers
    (split,) = plan_inflation(net2d, TwoPlusOne()).layers
    assert turned.action == split.action == "inflated"
    assert turned.depth is not None
    assert split.depth is not None
    assert (split.depth.kernel, split.depth.padding) == (2, (1, 1))
    assert turned.depth.kernel == 2
