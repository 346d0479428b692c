"""A plan says beforehand, layer by layer, what `inflate` does, and may be changed and kept."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn

from tomolift.inflation import (
    Average,
    InflationError,
    InflationPlan,
    Override,
    Random,
    Scaling,
    ShapeMismatchError,
    Strategy,
    StrategyError,
    UnsupportedLayerError,
    inflate,
    plan_inflation,
)


def same_state(first: nn.Module, second: nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


OPTIONS: list[dict[str, object]] = [
    {"strategy": "average"},
    {"strategy": "scaling", "depth_stride": 1, "depth_padding": "zeros"},
    {"strategy": "random"},
    {"strategy": "zero", "depth_kernel": 3, "in_channels": 1},
    {"strategy": "average", "spacing_mm": (5.0, 1.0, 1.0)},
    {"strategy": "zero", "overrides": {"layer2": "average", "conv1": Override(depth_kernel=1)}},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_applying_a_plan_is_inflating(small_resnet: nn.Module, options: dict[str, object]) -> None:
    plan = plan_inflation(small_resnet, **options)  # type: ignore[arg-type]
    assert same_state(plan.apply(small_resnet), inflate(small_resnet, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("options", OPTIONS)
def test_a_plan_survives_json(small_resnet: nn.Module, options: dict[str, object]) -> None:
    plan = plan_inflation(small_resnet, **options)  # type: ignore[arg-type]
    again = InflationPlan.from_json(plan.to_json(), small_resnet)
    assert again == plan
    assert same_state(again.apply(small_resnet), plan.apply(small_resnet))


def test_planning_leaves_the_generator_of_random_alone(small_resnet: nn.Module) -> None:
    generator = torch.Generator().manual_seed(3)
    before = generator.get_state()
    plan_inflation(small_resnet, Random(generator))
    assert torch.equal(generator.get_state(), before)


def test_planning_touches_neither_the_network_nor_its_values(small_resnet: nn.Module) -> None:
    before = {name: value.clone() for name, value in small_resnet.state_dict().items()}
    small_resnet.train()
    plan_inflation(small_resnet, "random", in_channels=1)
    assert all(module.training for module in small_resnet.modules())
    assert all(torch.equal(v, before[name]) for name, v in small_resnet.state_dict().items())


def test_every_layer_has_a_row_in_the_network_s_order(small_resnet: nn.Module) -> None:
    leaves = [name for name, module in small_resnet.named_modules() if not list(module.children())]
    assert [row.name for row in plan_inflation(small_resnet).layers] == leaves


def test_a_row_says_what_the_layer_of_the_3d_network_is(small_resnet: nn.Module) -> None:
    net3d = inflate(small_resnet, depth_stride=1)
    for row in plan_inflation(small_resnet, depth_stride=1).layers:
        twin = net3d.get_submodule(row.name)
        if isinstance(twin, nn.Conv3d | nn.MaxPool3d):
            assert row.depth is not None
            kernel, stride = twin.kernel_size, twin.stride
            assert (row.depth.kernel, row.depth.stride) == (kernel[0], stride[0])  # type: ignore[index]
            assert row.action == "inflated"
        else:
            assert row.action == ("copied" if list(twin.parameters()) else "kept")


def test_random_resets_what_it_does_not_inflate(small_resnet: nn.Module) -> None:
    actions = {row.name: row.action for row in plan_inflation(small_resnet, "random").layers}
    assert (actions["conv1"], actions["bn1"], actions["relu"]) == ("inflated", "reset", "kept")


def test_the_table_of_a_small_network_is_this() -> None:
    net2d = nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, 3), nn.Identity(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(8, 2, 2)
    )
    assert plan_inflation(net2d, "scaling", overrides={"3": "zero"}).table() == (
        "layer  type       in the plane    along depth        strategy  action    contract\n"
        "0      Conv2d     3->8 7x7 /2 p3  7 /2 p3 replicate  Scaling   inflated  constant_volume\n"
        "1      Identity                                                kept      slicewise\n"
        "2      MaxPool2d  3x3 /2 p1       3 /2 p1                      inflated  constant_volume\n"
        "3      Conv2d     8->2 2x2        2                  Center    inflated  constant_volume"
    )


def test_edited_rules_hold_for_the_layers_named_and_no_others(small_resnet: nn.Module) -> None:
    plan = plan_inflation(small_resnet).edit("layer2", strategy="zero", depth_kernel=1)
    expected = inflate(
        small_resnet, overrides={"layer2": Override(strategy="zero", depth_kernel=1)}
    )
    assert same_state(plan.apply(small_resnet), expected)


def test_edits_add_up(small_resnet: nn.Module) -> None:
    plan = plan_inflation(small_resnet).edit("layer2", strategy="zero")
    plan = plan.edit("layer2.0", depth_kernel=1).edit("conv1", depth_padding="zeros")
    rules = {row.name: row.rules for row in plan.layers}
    assert repr(rules["layer2.0.conv1"].strategy) == "Center()"
    assert rules["layer2.0.conv1"].depth_kernel == 1
    assert rules["layer2.1.conv1"].depth_kernel == "same"
    assert rules["conv1"].depth_padding == "zeros"


def test_an_edit_leaves_the_old_plan_as_it_was(small_resnet: nn.Module) -> None:
    plan = plan_inflation(small_resnet)
    before = plan.to_json()
    plan.edit("*", strategy="zero")
    assert plan.to_json() == before


def test_an_edit_that_names_nothing_is_refused(small_resnet: nn.Module) -> None:
    with pytest.raises(StrategyError, match="'layer9' decides no layer"):
        plan_inflation(small_resnet).edit("layer9", strategy="zero")


def test_rules_edited_in_the_json_count(small_resnet: nn.Module) -> None:
    content = json.loads(plan_inflation(small_resnet).to_json())
    stem = next(layer for layer in content["layers"] if layer["name"] == "conv1")
    stem["depth_kernel"], stem["strategy"] = 3, {"name": "center"}
    plan = InflationPlan.from_json(json.dumps(content), small_resnet)
    weight = plan.apply(small_resnet).conv1.weight  # type: ignore[union-attr]
    assert weight.shape[2] == 3
    assert weight[:, :, 0].count_nonzero() == 0
    assert next(row for row in plan.layers if row.name == "conv1").depth.kernel == 3  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON "),
        ("[]", "no JSON of 'tomolift.inflation.plan'"),
        ('{"format": "other", "version": 1}', "no JSON of 'tomolift.inflation.plan'"),
        ('{"format": "tomolift.inflation.plan", "version": 2}', "version=2, and this is .* for v"),
        ('{"format": "tomolift.inflation.plan", "version": 1}', "incomplete"),
    ],
)
def test_text_that_is_no_plan_is_refused(text: str, message: str) -> None:
    with pytest.raises(InflationError, match=f"^plan: {message}"):
        InflationPlan.from_json(text, nn.ReLU())


def test_a_plan_for_another_network_is_refused_by_the_first_layer_that_differs() -> None:
    plan = plan_inflation(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()))
    other = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GELU())
    message = r"^'1' is ReLU in the plan and GELU in net2d: plan_inflation this network anew"
    with pytest.raises(ShapeMismatchError, match=message):
        plan.apply(other)
    with pytest.raises(ShapeMismatchError, match=message):
        InflationPlan.from_json(plan.to_json(), other)
    with pytest.raises(ShapeMismatchError, match="'2' is nothing in the plan and ReLU in net2d"):
        plan.apply(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.ReLU()))


def test_a_strategy_of_one_s_own_can_be_planned_but_not_written() -> None:
    class Own(Strategy):
        def inflate_weight(self, weight: Tensor, depth_kernel: int) -> Tensor:
            return Average().inflate_weight(weight, depth_kernel)

    plan = plan_inflation(nn.Conv2d(3, 4, 3), Own())
    assert isinstance(plan.apply(nn.Conv2d(3, 4, 3)), nn.Conv3d)
    with pytest.raises(StrategyError, match="has no JSON form"):
        plan.to_json()


class Unknown(nn.Conv2d):
    """A subclass that may compute anything."""


def test_a_network_with_refused_layers_can_be_planned_and_apply_names_them_all() -> None:
    net2d = nn.Sequential(Unknown(3, 3, 1), nn.Conv2d(3, 3, 3, padding=1), Unknown(3, 4, 1))
    plan = plan_inflation(net2d)
    assert [row.name for row in plan.refused] == ["0", "2"]
    assert "refused: '0': Unknown is a subclass of Conv2d" in str(plan)
    assert "1 inflated" in plan.summary()
    with pytest.raises(UnsupportedLayerError, match=r"^2 layers have no 3D form: '0': .*; '2': "):
        plan.apply(net2d)


def test_scaling_keeps_its_alphas_through_json() -> None:
    strategy = Scaling(alphas={3: (0.1, 0.8, 0.1)})
    net2d = nn.Conv2d(3, 4, 3)
    plan = InflationPlan.from_json(plan_inflation(net2d, strategy).to_json(), net2d)
    assert plan.layers[0].rules.strategy == strategy


def test_what_is_no_network_is_refused() -> None:
    for make in (inflate, plan_inflation):
        with pytest.raises(InflationError, match="net2d='resnet18': pass the 2D network"):
            make("resnet18")  # type: ignore[operator]
