"""Rules by name: what an `Override` changes at the layers that it names, and nowhere else."""

from __future__ import annotations

import pytest
from torch import nn

from tomolift.inflation import InflationError, Override, StrategyError, inflate


def test_an_override_changes_the_taps_of_the_layers_it_names_only(small_resnet: nn.Module) -> None:
    net3d = inflate(small_resnet, overrides={"layer2": Override(depth_kernel=1)})
    plain = inflate(small_resnet)
    for name, tensor in net3d.state_dict().items():
        expected = tuple(plain.state_dict()[name].shape)
        if name.startswith("layer2.") and len(expected) == 5:
            expected = (*expected[:2], 1, *expected[3:])
        assert tuple(tensor.shape) == expected, name


def test_an_override_keeps_the_slices_of_one_layer(small_resnet: nn.Module) -> None:
    net3d = inflate(small_resnet, overrides={"maxpool": Override(depth_stride=1)})
    assert net3d.maxpool.kernel_size == (1, 3, 3)  # type: ignore[union-attr]
    assert net3d.conv1.stride == (2, 2, 2)  # type: ignore[union-attr]


def test_an_override_pads_one_layer_otherwise(small_resnet: nn.Module) -> None:
    net3d = inflate(small_resnet, overrides={"conv1": Override(depth_padding="zeros")})
    assert type(net3d.conv1) is nn.Conv3d
    assert type(net3d.layer1[0].conv1) is not nn.Conv3d  # type: ignore[index]


def test_what_an_override_leaves_out_is_the_call_s_own(small_resnet: nn.Module) -> None:
    net3d = inflate(
        small_resnet, "zero", depth_stride=1, overrides={"conv1": Override(depth_kernel=3)}
    )
    assert net3d.conv1.kernel_size == (3, 7, 7)  # type: ignore[union-attr]
    assert net3d.conv1.stride == (1, 2, 2)  # type: ignore[union-attr]
    assert net3d.conv1.weight[:, :, 0].count_nonzero() == 0  # type: ignore[union-attr]


def test_an_override_out_of_range_is_refused() -> None:
    with pytest.raises(InflationError, match="depth_kernel=0: use 'same' or a number of 1 or more"):
        inflate(nn.Conv2d(3, 4, 3), overrides={"*": Override(depth_kernel=0)})


def test_two_geometries_for_one_shared_module_are_refused_by_name() -> None:
    conv = nn.Conv2d(4, 4, 3, padding=1)
    with pytest.raises(StrategyError, match=r"'2' is the same module as '0'.*give both the same"):
        inflate(nn.Sequential(conv, nn.ReLU(), conv), overrides={"2": Override(depth_kernel=1)})


def test_a_layer_for_which_a_strategy_has_no_taps_is_named() -> None:
    with pytest.raises(StrategyError, match=r"^'1': Scaling has no alphas for 5 taps"):
        inflate(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 5)), "scaling")


def test_all_refused_layers_are_named_at_once() -> None:
    class First(nn.Conv2d):
        pass

    class Second(nn.Conv2d):
        pass

    with pytest.raises(InflationError, match=r"^2 layers have no 3D form: '0': First .*'2': Seco"):
        inflate(nn.Sequential(First(3, 3, 1), nn.ReLU(), Second(3, 3, 1)))
