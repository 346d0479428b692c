"""The spacing rule: no depth kernel or stride where slices are over twice as thick as pixels."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tomolift.inflation import (
    InflationError,
    Override,
    UnsupportedFunctionError,
    check_inflation,
    inflate,
    plan_inflation,
)

MakeSlices = Callable[..., Tensor]


def encoder() -> nn.Sequential:
    """Resolutions 1, 2, 4 and 8 in the plane."""
    return nn.Sequential(*(nn.Conv2d(3, 3, 3, stride, 1) for stride in (1, 2, 2, 2, 1)))


def kernels_and_strides(net: nn.Module) -> list[tuple[int, int]]:
    return [(each.kernel_size[0], each.stride[0]) for each in net.children()]  # type: ignore[index]


# Worked by hand for 1 mm pixels. Layers see resolutions 1, 1, 2, 4, 8; at each the slice spacing
# (which only strided layers double) is compared with twice the pixels' 1, 1, 2, 4, 8 mm.
@pytest.mark.parametrize(
    ("thickness_mm", "expected"),
    [
        # 1 <= 2: 3D from the start; slices grow with the pixels
        (1.0, [(3, 1), (3, 2), (3, 2), (3, 2), (3, 1)]),
        # 2 is not more than twice 1
        (2.0, [(3, 1), (3, 2), (3, 2), (3, 2), (3, 1)]),
        # 2.5 > 2 at pixels of 1; 2.5 <= 4 at 2
        (2.5, [(1, 1), (1, 1), (3, 2), (3, 2), (3, 1)]),
        # 5 > 4 at pixels of 2; 5 <= 8 at 4, then 10 <= 16 at 8
        (5.0, [(1, 1), (1, 1), (1, 1), (3, 2), (3, 1)]),
        # 9 > 8 at pixels of 4; 9 <= 16 at 8, where nothing strides
        (9.0, [(1, 1), (1, 1), (1, 1), (1, 1), (3, 1)]),
        (17.0, [(1, 1)] * 5),
    ],
)
def test_depth_kernels_and_strides_set_in_where_the_worked_example_says(
    thickness_mm: float, expected: list[tuple[int, int]]
) -> None:
    net3d = inflate(encoder(), spacing_mm=(thickness_mm, 1.0, 1.0))
    assert kernels_and_strides(net3d) == expected


def test_only_the_ratio_of_the_spacings_counts() -> None:
    coarse = inflate(encoder(), spacing_mm=(5.0, 1.0, 1.0))
    fine = inflate(encoder(), spacing_mm=(0.5, 0.1, 0.1))
    assert kernels_and_strides(coarse) == kernels_and_strides(fine)


def test_a_ratio_of_two_that_rounding_makes_a_little_more_still_mixes_slices() -> None:
    net3d = inflate(encoder(), spacing_mm=(2 * 0.3 + 1e-12, 0.3, 0.3))
    assert kernels_and_strides(net3d)[0] == (3, 1)


def test_the_finer_of_the_two_spacings_in_the_plane_decides() -> None:
    net3d = inflate(encoder(), spacing_mm=(2.5, 1.0, 4.0))
    assert kernels_and_strides(net3d)[0] == (1, 1)


def test_an_override_counts_against_the_spacing() -> None:
    net3d = inflate(
        encoder(), spacing_mm=(9.0, 1.0, 1.0), overrides={"0": Override(depth_kernel=3)}
    )
    assert kernels_and_strides(net3d) == [(3, 1), (1, 1), (1, 1), (1, 1), (3, 1)]


def test_depth_stride_1_holds_where_the_spacing_would_allow_a_stride() -> None:
    net3d = inflate(encoder(), depth_stride=1, spacing_mm=(1.0, 1.0, 1.0))
    # the slices stay at 1 mm, which every level may mix
    assert kernels_and_strides(net3d) == [(3, 1)] * 5


class UNet(nn.Module):
    """Two levels down and up again with skips; up-sampling by a module and by size."""

    def __init__(self) -> None:
        super().__init__()
        self.top = nn.Conv2d(1, 4, 3, padding=1)
        self.pool1 = nn.MaxPool2d(2)
        self.middle = nn.Conv2d(4, 4, 3, padding=1)
        self.pool2 = nn.MaxPool2d(2)
        self.bottom = nn.Conv2d(4, 4, 3, padding=1)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear")
        self.mixed = nn.Conv2d(8, 4, 3, padding=1)
        self.last = nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        top = self.top(x)
        middle = self.middle(self.pool1(top))
        x = self.up(self.bottom(self.pool2(middle)))
        x = self.mixed(torch.cat([x, middle], 1))
        mode = "bilinear" if x.ndim == 4 else "trilinear"
        x = F.interpolate(x, size=top.shape[2:], mode=mode, align_corners=False)
        return self.last(torch.cat([x, top], 1))


@pytest.mark.parametrize("thickness_mm", [1.0, 3.0, 5.0])
def test_skips_fit_and_the_network_stays_exact(
    thickness_mm: float, make_slices: MakeSlices
) -> None:
    net2d = UNet().eval()
    net3d = inflate(net2d, spacing_mm=(thickness_mm, 1.0, 1.0))
    assert net3d(torch.zeros(1, 1, 8, 16, 16)).shape == (1, 2, 8, 16, 16)
    report = check_inflation(net2d, net3d, depth=8, example=make_slices(1, channels=1, side=16))
    assert report.contract == "constant_volume"


def test_going_up_undoes_just_what_going_down_has_done() -> None:
    net3d = inflate(UNet(), spacing_mm=(3.0, 1.0, 1.0))
    # 3 > 2 at 1 mm, 3 <= 4 at 2 mm: only the second pool strides, and `up` undoes it
    assert net3d.pool1.stride == (1, 2, 2)  # type: ignore[union-attr]
    assert net3d.pool2.stride == (2, 2, 2)  # type: ignore[union-attr]
    assert net3d.up.scale_factor == (2.0, 2.0, 2.0)  # type: ignore[union-attr]
    assert net3d.mixed.kernel_size == (3, 3, 3)  # type: ignore[union-attr]
    assert net3d.last.kernel_size == (1, 3, 3)  # type: ignore[union-attr]


def test_up_sampling_leaves_the_depth_alone_where_going_down_did() -> None:
    net3d = inflate(UNet(), spacing_mm=(5.0, 1.0, 1.0))
    assert net3d.pool2.stride == (1, 2, 2)  # type: ignore[union-attr]
    assert net3d.up.scale_factor == (1.0, 2.0, 2.0)  # type: ignore[union-attr]


class PoolsByCall(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.max_pool2d(x, 2))


def test_a_stride_that_no_rule_reaches_is_refused_with_the_cure() -> None:
    message = r"'0' \(PoolsByCall.forward\) calls max_pool2d, which spacing_mm cannot reach: make"
    with pytest.raises(UnsupportedFunctionError, match=message):
        inflate(nn.Sequential(PoolsByCall()), spacing_mm=(1.0, 1.0, 1.0))


class Pyramid(nn.Module):
    """One strided convolution for two resolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 3, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.down(x))


def test_a_shared_layer_that_would_need_two_strides_is_refused_by_name() -> None:
    assert inflate(Pyramid(), spacing_mm=(1.0, 1.0, 1.0)).down.stride == (2, 2, 2)  # type: ignore[union-attr]
    with pytest.raises(InflationError, match="'down' runs at levels that need depth strides 1 and"):
        inflate(Pyramid(), spacing_mm=(3.0, 1.0, 1.0))


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.0, 1.0, 1.0), (1.0, float("nan"), 1.0)])
def test_a_spacing_out_of_range_is_refused(spacing: tuple[float, ...]) -> None:
    with pytest.raises(InflationError, match=r"spacing_mm=\(.*: give three positive numbers"):
        plan_inflation(encoder(), spacing_mm=spacing)  # type: ignore[arg-type]


def test_the_plan_prints_the_receptive_field_in_millimetres() -> None:
    plan = plan_inflation(encoder(), spacing_mm=(5.0, 1.0, 1.0))
    # in the plane 1 + 2 + 2 + 2*2 + 2*4 + 2*8 = 33; in depth 1 + 2 + 2*2 = 7 slices of 5 mm
    assert "receptive field: depth 35 mm (7 voxels), height 33 mm (33 voxels), " in str(plan)
