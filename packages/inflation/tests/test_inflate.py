"""What inflating keeps of a network, and what it leaves alone."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tomolift.inflation import (
    Average,
    Center,
    InflationError,
    Layer,
    Random,
    StrategyError,
    UnsupportedLayerError,
    inflate,
    register_layer,
)

MakeSlices = Callable[..., Tensor]


def test_the_source_is_not_touched(small_resnet: nn.Module) -> None:
    modules = list(small_resnet.modules())
    before = {name: value.clone() for name, value in small_resnet.state_dict().items()}
    small_resnet.train()
    inflate(small_resnet, "random")
    assert list(small_resnet.modules()) == modules
    assert all(module.training for module in modules)
    assert all(torch.equal(before[name], v) for name, v in small_resnet.state_dict().items())


def test_the_result_shares_no_memory_with_the_source(small_resnet: nn.Module) -> None:
    net3d = inflate(small_resnet)
    pointers = {tensor.data_ptr() for tensor in small_resnet.state_dict().values()}
    assert pointers.isdisjoint({tensor.data_ptr() for tensor in net3d.state_dict().values()})


def test_names_and_their_order_stay(small_resnet: nn.Module) -> None:
    net3d = inflate(small_resnet)
    assert list(net3d.state_dict()) == list(small_resnet.state_dict())
    assert [n for n, _ in net3d.named_modules()] == [n for n, _ in small_resnet.named_modules()]
    assert type(net3d) is type(small_resnet)


def test_train_and_eval_stay_layer_by_layer(small_resnet: nn.Module) -> None:
    small_resnet.train()
    small_resnet.layer2.eval()  # type: ignore[union-attr]
    net3d = inflate(small_resnet)
    for (name, before), (_, after) in zip(
        small_resnet.named_modules(), net3d.named_modules(), strict=True
    ):
        assert before.training == after.training, name


def test_requires_grad_stays(small_resnet: nn.Module) -> None:
    small_resnet.conv1.requires_grad_(False)
    small_resnet.bn1.bias.requires_grad_(False)  # type: ignore[union-attr]
    frozen = [name for name, p in inflate(small_resnet).named_parameters() if not p.requires_grad]
    assert frozen == ["conv1.weight", "bn1.bias"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_dtype_stays(small_resnet: nn.Module, dtype: torch.dtype) -> None:
    net3d = inflate(small_resnet.to(dtype), "scaling")
    assert {p.dtype for p in net3d.parameters()} == {dtype}


def test_the_device_stays() -> None:
    net3d = inflate(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to("meta"))
    assert {p.device.type for p in net3d.parameters()} == {"meta"}


def test_shared_modules_stay_shared() -> None:
    conv = nn.Conv2d(4, 4, 3, padding=1)
    net3d = inflate(nn.Sequential(conv, nn.ReLU(), conv))
    assert net3d[0] is net3d[2]  # type: ignore[index]


def test_shared_filters_stay_shared() -> None:
    net2d = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=2, dilation=2))
    net2d[1].weight = net2d[0].weight
    net3d = inflate(net2d)
    assert net3d[0].weight is net3d[1].weight  # type: ignore[index]


def test_modules_in_lists_and_dicts_are_found() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stages = nn.ModuleList([nn.Conv2d(3, 4, 1)])
            self.heads = nn.ModuleDict({"a": nn.Conv2d(4, 2, 1)})
            self.absent = None

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {name: head(self.stages[0](x)) for name, head in self.heads.items()}

    output = inflate(Net())(torch.zeros(1, 3, 4, 8, 8))
    assert output["a"].shape == (1, 2, 4, 8, 8)


def test_a_single_layer_is_a_network_too() -> None:
    assert type(inflate(nn.ReLU())) is nn.ReLU
    assert isinstance(inflate(nn.Conv2d(3, 4, 3)), nn.Conv3d)


def test_the_global_generator_is_left_alone(small_resnet: nn.Module) -> None:
    before = torch.random.get_rng_state()
    inflate(small_resnet, "random")
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_result_is_an_ordinary_module(small_resnet: nn.Module, make_slices: MakeSlices) -> None:
    net3d = inflate(small_resnet)
    volume = make_slices(4).transpose(0, 1).unsqueeze(0)
    expected = net3d(volume)
    assert torch.equal(copy.deepcopy(net3d)(volume), expected)
    file = io.BytesIO()
    torch.save(net3d.state_dict(), file)
    file.seek(0)
    again = inflate(small_resnet, "zero")
    again.load_state_dict(torch.load(file, weights_only=True), strict=True)
    assert torch.equal(again(volume), expected)


def test_the_result_pickles() -> None:
    net3d = inflate(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AvgPool2d(3, 2, 1)))
    volume = torch.ones(1, 3, 4, 8, 8)
    assert torch.equal(pickle.loads(pickle.dumps(net3d))(volume), net3d(volume))


def test_the_result_trains(small_resnet: nn.Module, make_slices: MakeSlices) -> None:
    net3d = inflate(small_resnet.train(), "average")
    net3d(make_slices(6).transpose(0, 1).unsqueeze(0)).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net3d.parameters())


def test_channels_last_volumes_stay_channels_last() -> None:
    layer = inflate(nn.Conv2d(4, 8, 3, padding=1)).to(memory_format=torch.channels_last_3d)
    volume = torch.ones(2, 4, 5, 8, 8).to(memory_format=torch.channels_last_3d)
    assert layer(volume).is_contiguous(memory_format=torch.channels_last_3d)


def test_overrides_choose_the_strategy_by_name(small_resnet: nn.Module) -> None:
    net3d = inflate(small_resnet, Average(), overrides={"layer1.*": Center(), "conv1": "scaling"})
    assert net3d.layer1[0].conv1.weight[:, :, 0].count_nonzero() == 0  # type: ignore[index,union-attr]
    state, source = net3d.state_dict(), small_resnet.state_dict()
    torch.testing.assert_close(state["conv1.weight"][:, :, 3], 0.3 * source["conv1.weight"])
    torch.testing.assert_close(
        state["layer2.0.conv1.weight"][:, :, 0], source["layer2.0.conv1.weight"] / 3
    )


def test_an_override_that_matches_nothing_is_refused(small_resnet: nn.Module) -> None:
    with pytest.raises(StrategyError, match=r"overrides: 'layer9\.\*' decides no layer"):
        inflate(small_resnet, overrides={"layer9.*": "zero"})


def test_an_override_by_a_container_s_name_counts_for_every_layer_in_it(
    small_resnet: nn.Module,
) -> None:
    by_name = inflate(small_resnet, overrides={"layer3": "zero"}).state_dict()
    by_glob = inflate(small_resnet, overrides={"layer3.*": "zero"}).state_dict()
    assert all(torch.equal(by_glob[name], tensor) for name, tensor in by_name.items())
    assert by_name["layer3.0.conv1.weight"][:, :, 0].count_nonzero() == 0


def test_the_first_override_that_matches_a_layer_or_its_container_counts(
    small_resnet: nn.Module,
) -> None:
    net3d = inflate(small_resnet, overrides={"layer3.0": "scaling", "layer3": "zero"})
    middles = [
        net3d.layer3[block].conv1.weight[:, :, 1] / small_resnet.layer3[block].conv1.weight  # type: ignore[index,union-attr]
        for block in (0, 1)
    ]
    for middle, share in zip(middles, (0.5, 1.0), strict=True):
        torch.testing.assert_close(middle, torch.full_like(middle, share))


@pytest.mark.parametrize("glob", ["layer3.0", "layer3.0.conv1"])
def test_an_override_behind_one_that_took_all_its_layers_is_refused(
    small_resnet: nn.Module, glob: str
) -> None:
    with pytest.raises(StrategyError, match=rf"'{glob}' decides no layer.*before the globs"):
        inflate(small_resnet, overrides={"layer3": "zero", glob: "scaling"})


@pytest.mark.parametrize("name", ["2", "*"])
def test_overrides_that_give_a_shared_filter_two_strategies_are_refused_by_name(name: str) -> None:
    conv = nn.Conv2d(4, 4, 3, padding=1)
    shared = nn.Conv2d(4, 4, 3, padding=1)
    shared.weight = conv.weight
    overrides = {"0": "average", name: "zero"}
    for net in (nn.Sequential(conv, nn.ReLU(), conv), nn.Sequential(conv, nn.ReLU(), shared)):
        with pytest.raises(
            StrategyError,
            match=r"'2' shares its 'weight' with '0'.*Center\(\).*Average\(\).*: give both",
        ):
            inflate(net, overrides=overrides)


def test_overrides_may_part_modules_that_share_nothing_but_an_activation() -> None:
    relu = nn.ReLU()
    stages = [nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), relu) for _ in range(2)]
    net3d = inflate(nn.Sequential(*stages), overrides={"1": "zero"})
    assert net3d[0][1] is net3d[1][1]  # type: ignore[index]


def test_random_takes_nothing_over(small_resnet: nn.Module) -> None:
    state = inflate(small_resnet, Random(torch.Generator().manual_seed(4))).state_dict()
    assert state["bn1.weight"].eq(1).all()
    assert state["bn1.running_var"].eq(1).all()
    assert state["bn1.running_mean"].eq(0).all()
    assert state["fc.bias"].eq(0).all()
    again = inflate(small_resnet, Random(torch.Generator().manual_seed(4))).state_dict()
    assert all(torch.equal(state[name], again[name]) for name in state)


def test_random_keeps_no_weight_of_a_layer_that_serves_both_ranks() -> None:
    net2d = nn.ModuleDict(
        {
            "linear": nn.Linear(64, 128),
            "group_norm": nn.GroupNorm(2, 4),
            "layer_norm": nn.LayerNorm(4),
            "sync_norm": nn.SyncBatchNorm(4),
            "prelu": nn.PReLU(4),
            "instance_norm": nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
        }
    )
    fresh = copy.deepcopy(net2d).state_dict()
    with torch.no_grad():
        for tensor in net2d.state_dict().values():
            tensor.fill_(7)
    net2d["linear"].weight.requires_grad_(False)
    net3d, again = (_inflated_layers(net2d, Random(seeded(4))) for _ in range(2))
    for name, tensor in net3d.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
        if not name.startswith("linear."):
            assert torch.equal(tensor, fresh[name]), name
    linear = net3d["linear"]
    assert linear.bias.count_nonzero() == 0
    assert linear.weight.std().item() == pytest.approx((2 / 128) ** 0.5, rel=0.05)
    assert not linear.weight.requires_grad


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class AnyInput(nn.Module):
    """Holds layers whose inputs have nothing in common, and runs none."""

    def __init__(self, layers: nn.ModuleDict) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        return x


def _inflated_layers(layers: nn.ModuleDict, strategy: Random) -> nn.ModuleDict:
    state = torch.random.get_rng_state()
    inflated = inflate(AnyInput(layers), strategy).layers
    assert torch.equal(torch.random.get_rng_state(), state)
    return inflated  # type: ignore[return-value]


class Gated(nn.Module):
    """A scalar parameter of its own, which serves every rank."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate


def test_random_refuses_a_module_whose_own_scalar_it_would_keep() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), Gated())
    assert inflate(net, "average")[1].gate.item() == 0.5  # type: ignore[index]
    with pytest.raises(UnsupportedLayerError, match=r"'1': Gated holds 'gate' itself, .*register"):
        inflate(net, "random")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth_kernel": 0}, "depth_kernel=0: use 'same' or a number of 1 or more"),
        ({"depth_stride": "half"}, "depth_stride='half': use 'same' or a number"),
        ({"depth_padding": "reflect"}, "depth_padding='reflect': use 'zeros' or 'replicate'"),
        ({"strategy": "mean"}, "strategy='mean' is unknown"),
    ],
)
def test_an_argument_out_of_range_is_refused_with_the_cure(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(InflationError, match=message):
        inflate(nn.Conv2d(3, 4, 3), **options)  # type: ignore[arg-type]


class StandardisedConv2d(nn.Conv2d):
    """As in weight standardisation: same parameters, another function."""

    def forward(self, input: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return self._conv_forward(input, weight, self.bias)


def test_a_subclass_of_a_known_layer_is_refused_by_name() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), StandardisedConv2d(4, 4, 3))
    with pytest.raises(
        UnsupportedLayerError, match=r"'1': StandardisedConv2d is a subclass of Conv2d.*register"
    ):
        inflate(net)


def test_a_convolution_with_a_hook_is_refused_by_name() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3))
    net[0].register_forward_hook(lambda module, inputs, output: output * 2)
    with pytest.raises(UnsupportedLayerError, match="'0': Conv2d has hooks"):
        inflate(net)


class LayerScale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((4, 1, 1), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


def test_a_module_with_parameters_of_its_own_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedLayerError, match=r"'1': LayerScale holds 'gamma' itself"):
        inflate(nn.Sequential(nn.Conv2d(3, 4, 3), LayerScale()))


def test_a_registered_layer_is_inflated_by_its_function(monkeypatch: pytest.MonkeyPatch) -> None:
    from tomolift.inflation.layers import _registry

    monkeypatch.setattr(_registry, "_REGISTRY", dict(_registry._REGISTRY))
    seen: list[str] = []

    @register_layer(LayerScale)
    def inflate_layer_scale(module: LayerScale, layer: Layer) -> LayerScale:
        seen.append(layer.name)
        module.gamma = nn.Parameter(module.gamma.detach().unsqueeze(-1))
        return module

    net3d = inflate(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), LayerScale()))
    assert seen == ["1"]
    assert net3d(torch.ones(1, 3, 4, 8, 8)).shape == (1, 4, 4, 8, 8)
