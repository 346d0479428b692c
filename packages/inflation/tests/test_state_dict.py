from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn

from tomolift.inflation import (
    Scaling,
    ShapeMismatchError,
    StrategyError,
    UnsupportedLayerError,
    inflate,
    inflate_state_dict,
    tensor_report,
)


def pair() -> tuple[nn.Module, nn.Module]:
    net2d = nn.Sequential(nn.Conv2d(3, 8, 7, bias=False), nn.BatchNorm2d(8), nn.Conv2d(8, 2, 1))
    net3d = nn.Sequential(nn.Conv3d(3, 8, 7, bias=False), nn.BatchNorm3d(8), nn.Conv3d(8, 2, 1))
    return net2d, net3d


@pytest.mark.parametrize("strategy", ["zero", "average", "scaling", "triangular", "negative"])
def test_the_depth_taps_of_every_filter_sum_to_the_2d_filter(strategy: str) -> None:
    net2d, net3d = pair()
    state = inflate_state_dict(net2d.state_dict(), like=net3d, strategy=strategy)
    for name in ("0.weight", "2.weight"):
        torch.testing.assert_close(state[name].sum(2), net2d.state_dict()[name])


def test_tap_t_of_scaling_is_alpha_t_times_the_filter() -> None:
    net2d, net3d = pair()
    alphas = (0.05, 0.1, 0.15, 0.4, 0.15, 0.1, 0.05)
    state = inflate_state_dict(net2d.state_dict(), like=net3d, strategy=Scaling(alphas={7: alphas}))
    for tap, alpha in enumerate(alphas):
        torch.testing.assert_close(
            state["0.weight"][:, :, tap], alpha * net2d.state_dict()["0.weight"]
        )


def test_everything_but_filters_is_copied_bit_for_bit() -> None:
    net2d, net3d = pair()
    net2d(torch.randn(2, 3, 16, 16))
    source = net2d.state_dict()
    state = inflate_state_dict(source, like=net3d)
    for name in state:
        if name != "0.weight":
            assert torch.equal(state[name].reshape(source[name].shape), source[name])
    assert state["1.num_batches_tracked"].item() == 1


def test_the_result_loads_strictly_and_shares_no_memory_with_either_side() -> None:
    net2d, net3d = pair()
    state = inflate_state_dict(net2d.state_dict(), like=net3d)
    net3d.load_state_dict(state, strict=True)
    pointers = {t.data_ptr() for t in state.values()}
    others = [*net2d.state_dict().values(), *net3d.state_dict().values()]
    assert pointers.isdisjoint({t.data_ptr() for t in others})


def test_a_state_dict_does_for_like() -> None:
    net2d, net3d = pair()
    by_net = inflate_state_dict(net2d.state_dict(), like=net3d)
    by_state = inflate_state_dict(net2d.state_dict(), like=net3d.state_dict())
    assert all(torch.equal(by_net[name], by_state[name]) for name in by_net)


def test_random_keeps_every_value_of_like() -> None:
    net2d, net3d = pair()
    state = inflate_state_dict(net2d.state_dict(), like=net3d, strategy="random")
    assert all(torch.equal(state[name], tensor) for name, tensor in net3d.state_dict().items())


def test_a_missing_num_batches_tracked_starts_at_zero() -> None:
    net2d, net3d = pair()
    source = {k: v for k, v in net2d.state_dict().items() if "num_batches" not in k}
    assert inflate_state_dict(source, like=net3d)["1.num_batches_tracked"].item() == 0


def test_the_result_has_the_dtype_of_like() -> None:
    net2d, net3d = pair()
    state = inflate_state_dict(net2d.double().state_dict(), like=net3d.to(torch.bfloat16))
    assert state["0.weight"].dtype == state["2.bias"].dtype == torch.bfloat16


def test_without_like_a_filter_gets_as_many_taps_as_it_is_high() -> None:
    net2d, _ = pair()
    state = inflate_state_dict(net2d.state_dict(), strategy="zero")
    assert state["0.weight"].shape == (8, 3, 7, 7, 7)
    assert state["2.weight"].shape == (2, 8, 1, 1, 1)


def test_random_without_like_is_refused() -> None:
    with pytest.raises(StrategyError, match="pass like=net3d"):
        inflate_state_dict(pair()[0].state_dict(), strategy="random")


def test_a_missing_tensor_is_named() -> None:
    net2d, net3d = pair()
    source = {k: v for k, v in net2d.state_dict().items() if k != "2.bias"}
    with pytest.raises(ShapeMismatchError, match=r"lacks '2\.bias'"):
        inflate_state_dict(source, like=net3d)


def test_a_tensor_left_over_is_named() -> None:
    net2d, net3d = pair()
    source = OrderedDict(net2d.state_dict(), extra=torch.zeros(1))
    with pytest.raises(ShapeMismatchError, match="first 'extra'"):
        inflate_state_dict(source, like=net3d)


def test_a_filter_that_is_no_2d_twin_is_named_with_both_shapes() -> None:
    net2d, net3d = pair()
    net3d[0] = nn.Conv3d(1, 8, 7, bias=False)  # type: ignore[operator]
    with pytest.raises(ShapeMismatchError, match=r"\(8, 3, 7, 7\) in 2D and \(8, 1, 7, 7, 7\)"):
        inflate_state_dict(net2d.state_dict(), like=net3d)


@pytest.mark.parametrize(("kernel", "padding"), [(2, 0), (3, 1), (4, 1)])
def test_a_transposed_filter_is_inflated_as_the_network_s_own(kernel: int, padding: int) -> None:
    net2d = nn.Sequential(nn.ConvTranspose2d(2, 3, kernel, 2, padding))
    net3d = inflate(net2d)
    state = inflate_state_dict(net2d.state_dict(), like=net3d)
    assert all(torch.equal(state[name], value) for name, value in net3d.state_dict().items())


def test_a_transposed_filter_without_a_tap_for_every_slice_is_refused_by_name() -> None:
    net2d = nn.Sequential(nn.ConvTranspose2d(2, 2, 2, 2))
    net3d = nn.Sequential(nn.ConvTranspose3d(2, 2, (1, 2, 2), 2))
    with pytest.raises(UnsupportedLayerError, match=r"'0\.weight' has no depth tap for 1 of 2"):
        inflate_state_dict(net2d.state_dict(), like=net3d)


def test_a_table_that_is_no_filter_is_refused_by_name() -> None:
    net2d, net3d = nn.Module(), nn.Module()
    net2d.table = nn.Parameter(torch.ones(1, 2, 3, 3))
    net3d.table = nn.Parameter(torch.ones(1, 2, 3, 3, 3))
    with pytest.raises(UnsupportedLayerError, match="'table' belongs to a Module, and only filter"):
        inflate_state_dict(net2d.state_dict(), like=net3d)


def test_integers_are_copied_whatever_their_shape() -> None:
    index = torch.arange(16).reshape(1, 1, 4, 4)
    assert torch.equal(inflate_state_dict({"index": index})["index"], index)


def test_the_report_has_a_line_for_every_tensor() -> None:
    net2d, net3d = pair()
    source = net2d.state_dict()
    lines = tensor_report(source, inflate_state_dict(source, like=net3d))
    assert len(lines) == len(net3d.state_dict())
    assert lines[0] == "0.weight: (8, 3, 7, 7) -> (8, 3, 7, 7, 7), depth taps sum to the 2D filter"
    assert lines[1] == "1.weight: (8,) copied"


def test_the_report_says_what_random_did_not_take_over() -> None:
    net2d, net3d = pair()
    source = net2d.state_dict()
    lines = tensor_report(source, inflate_state_dict(source, like=net3d, strategy="random"))
    assert lines[0].endswith("depth taps do not sum to the 2D filter")
    assert "2.bias: (2,) not taken over" in lines


@pytest.mark.parametrize("strategy", ["zero", "average", "scaling", "triangular", "negative"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("scale", [1e-7, 1.0])
def test_the_report_allows_for_the_rounding_of_like_s_dtype(
    strategy: str, dtype: torch.dtype, scale: float
) -> None:
    net2d, net3d = pair()
    source = {name: tensor * scale for name, tensor in net2d.state_dict().items()}
    state = inflate_state_dict(source, like=net3d.to(dtype), strategy=strategy)
    lines = tensor_report(source, state)
    assert lines[0].endswith("depth taps sum to the 2D filter")
    assert all(line.endswith("copied") for line in lines[1:-2])


def test_the_report_finds_taps_that_sum_to_a_little_more_than_the_filter() -> None:
    net2d, net3d = pair()
    source = net2d.state_dict()
    for dtype, excess in ((torch.float32, 1e-4), (torch.bfloat16, 0.2)):
        state = inflate_state_dict(source, like=net3d.to(dtype), strategy="average")
        state["0.weight"] = state["0.weight"] * (1 + excess)
        assert "do not sum" in tensor_report(source, state)[0]
