from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from tomolift.inflation import (
    ContractError,
    DepthCollapsedError,
    InflationError,
    ShapeMismatchError,
    check_inflation,
    inflate,
)

# a smaller example than the one made up, for speed
check_small = partial(check_inflation, example=torch.zeros(1, 3, 24, 24))


def test_auto_finds_slicewise_for_the_centre_without_depth_stride(small_resnet: nn.Module) -> None:
    report = check_inflation(small_resnet, inflate(small_resnet, "zero", depth_stride=1))
    assert report.contract == "slicewise"
    assert report.first_culprit is None
    assert len(report.output.per_slice) == 16


def test_auto_finds_constant_volume_for_averaging_with_replicate(small_resnet: nn.Module) -> None:
    report = check_small(small_resnet, inflate(small_resnet, "average"))
    assert report.contract == "constant_volume"
    assert report.output.worst < 1e-5
    assert "at every slice" in report.summary()


def test_auto_finds_interior_only_for_zeros_in_a_deep_volume() -> None:
    net2d = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))
    report = check_inflation(net2d, inflate(net2d, "average", depth_padding="zeros"))
    assert report.contract == "interior_only"
    assert report.first_culprit is None
    assert report.output.worst > 0.01
    assert report.output.middle < 1e-5


def test_zeros_in_a_short_volume_keep_no_contract_and_the_stem_is_the_first_culprit(
    small_resnet: nn.Module,
) -> None:
    report = check_inflation(small_resnet, inflate(small_resnet, depth_padding="zeros"), depth=8)
    assert not report.passed
    assert report.first_culprit == "conv1"
    with pytest.raises(
        ContractError,
        match=r"^no contract holds to 1e-05: .*first culprit 'conv1': use depth_padding",
    ):
        report.require()


def test_the_first_culprit_is_the_layer_that_was_damaged(small_resnet: nn.Module) -> None:
    net3d = inflate(small_resnet, "average")
    with torch.no_grad():
        net3d.layer2[1].conv1.weight *= 1.01  # type: ignore[index,union-attr]
    report = check_small(small_resnet, net3d)
    assert report.first_culprit == "layer2.1.conv1"


def test_a_filter_at_the_last_tap_is_found_to_shift_the_volume(small_resnet: nn.Module) -> None:
    net3d = inflate(small_resnet, "zero", depth_stride=1)
    with torch.no_grad():
        weight = net3d.layer1[0].conv1.weight  # type: ignore[index,union-attr]
        weight.copy_(weight.roll(1, dims=2))
    report = check_small(small_resnet, net3d, contract="slicewise")
    assert report.first_culprit == "layer1.0.conv1"
    assert check_small(small_resnet, net3d).contract == "constant_volume"


def test_a_weight_that_is_not_a_number_never_passes(small_resnet: nn.Module) -> None:
    net3d = inflate(small_resnet, "average")
    with torch.no_grad():
        net3d.layer3[0].bn1.weight[3] = torch.nan  # type: ignore[index,union-attr]
    report = check_small(small_resnet, net3d)
    assert not report.passed
    assert report.first_culprit == "layer3.0.bn1"


def test_the_table_has_a_line_for_every_layer_and_ends_with_the_output() -> None:
    net2d = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
    lines = check_inflation(net2d, inflate(net2d), depth=4).table().splitlines()
    assert [line.split()[-1] for line in lines] == ["layer", "0", "1", "(output)"]


def test_neither_network_is_touched(small_resnet: nn.Module) -> None:
    net3d = inflate(small_resnet.train())
    states = [
        {name: value.clone() for name, value in net.state_dict().items()}
        for net in (small_resnet, net3d)
    ]
    check_small(small_resnet, net3d)
    for net, before in zip((small_resnet, net3d), states, strict=True):
        assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
        assert all(module.training and not module._forward_hooks for module in net.modules())


def test_a_valid_convolution_is_compared_with_the_middle_slices() -> None:
    net2d = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 5))
    assert check_inflation(net2d, inflate(net2d, "zero")).contract == "slicewise"


def test_depth_stride_is_compared_with_every_sth_slice() -> None:
    net2d = nn.Sequential(nn.Conv2d(3, 4, 7, 2, 3), nn.Conv2d(4, 4, 3, 2, 1))
    net3d = inflate(net2d, "zero", depth_padding="zeros")
    assert check_inflation(net2d, net3d, depth=70).contract == "slicewise"


def test_a_classifier_is_compared_by_its_vector() -> None:
    net2d = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(4, 2)
    )
    assert check_inflation(net2d, inflate(net2d)).contract == "constant_volume"


def test_a_volume_that_runs_out_of_slices_is_an_error_with_the_cure() -> None:
    net2d = nn.Sequential(nn.Conv2d(3, 4, 5), nn.Conv2d(4, 4, 5))
    with pytest.raises(DepthCollapsedError, match=r"at depth=6 .*use a greater depth"):
        check_inflation(net2d, inflate(net2d), depth=6)


def test_networks_of_other_outputs_are_refused() -> None:
    class Count(nn.Module):
        def forward(self, x: Tensor) -> int:
            return x.ndim

    with pytest.raises(ShapeMismatchError, match="cannot be compared slice by slice"):
        check_inflation(Count(), Count(), contract="constant_volume")


class Heads(nn.Module):
    def __init__(self, count: int, kind: type) -> None:
        super().__init__()
        self.count, self.kind = count, kind

    def forward(self, x: Tensor) -> object:
        return self.kind([x] * self.count)


@pytest.mark.parametrize(
    ("other", "place"),
    [(Heads(1, tuple), r"\[1\]"), (Heads(3, list), r"\[2\]"), (nn.Identity(), r"\[0\]")],
)
def test_outputs_of_another_structure_are_refused_at_their_place(
    other: nn.Module, place: str
) -> None:
    two = Heads(2, tuple)
    assert check_inflation(two, Heads(2, tuple)).contract == "slicewise"
    with pytest.raises(ShapeMismatchError, match=rf"^output{place} is \w+.* in 2D and .* in 3D: "):
        check_inflation(two, other)
    inner = Last(two), Last(other)
    with pytest.raises(ShapeMismatchError, match=rf"^'heads'{place} is \w+.* in 2D and .* in 3D: "):
        check_inflation(*inner)


class Levels(nn.Module):
    """Two maps, the second with half the slices."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Conv2d(3, 4, 3, padding=1)
        self.coarse = nn.Conv2d(4, 4, 3, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(x)
        return fine, self.coarse(fine)


def test_an_output_of_fewer_slices_than_the_others_is_not_passed_over() -> None:
    net2d = Levels()
    net3d = inflate(net2d)
    assert check_small(net2d, net3d).contract == "constant_volume"
    with torch.no_grad():
        net3d.coarse.weight *= 5  # type: ignore[union-attr]
    report = check_small(net2d, net3d)
    assert not report.passed
    assert report.output.worst > 1
    assert report.first_culprit == "coarse"


class Last(nn.Module):
    """Returns a map whatever its heads return."""

    def __init__(self, heads: nn.Module) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        output = self.heads(x)
        return output if isinstance(output, Tensor) else output[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"depth": 0}, "depth=0"), ({"contract": "exact"}, "contract='exact': use 'auto' or one of")],
)
def test_an_argument_out_of_range_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InflationError, match=message):
        check_inflation(nn.ReLU(), nn.ReLU(), **options)  # type: ignore[arg-type]
