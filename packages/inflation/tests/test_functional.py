"""Calls inside a forward that mean the slice: refused with module, file and line."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tomolift.inflation import (
    InflationError,
    ShapeMismatchError,
    UnsupportedFunctionError,
    inflate,
)


class Calling(nn.Module):
    """A convolution, then any call."""

    def __init__(self, call: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.call = call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.conv(x))


def unpack(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x.reshape(n, c * h * w)


PLANE_ONLY = {
    "max_pool2d": lambda x: F.max_pool2d(x, 2),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 2),
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, 1),
    "bilinear": lambda x: F.interpolate(x, size=(7, 7), mode="bilinear"),
    "bicubic": lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"),
    "unpack": unpack,
    "mean": lambda x: x.mean((2, 3)),
    "mean keepdim": lambda x: x.mean(dim=(2, 3), keepdim=True),
    "mean negative": lambda x: x.mean((-2, -1)),
    "torch.mean": lambda x: torch.mean(x, (2, 3), keepdim=True),
    "amax": lambda x: x.amax(dim=(2, 3)),
    "max": lambda x: x.max(3).values,
    "softmax": lambda x: x.softmax(-1),
    "F.softmax": lambda x: F.softmax(x, dim=2),
    "cat": lambda x: torch.cat([x, x], dim=3),
    "chunk": lambda x: x.chunk(2, dim=2)[0],
    "roll": lambda x: torch.roll(x, (1, 1), (2, 3)),
    "flip": lambda x: x.flip(-1),
    "flip by keyword": lambda x: torch.flip(x, dims=[3]),
    "flip of two": lambda x: x.flip(2, 3),
    "roll by keyword": lambda x: torch.roll(x, shifts=1, dims=2),
    "var_mean": lambda x: x - torch.var_mean(x, (2, 3), keepdim=True)[1],
    "std_mean": lambda x: x / torch.std_mean(x, dim=(2, 3), keepdim=True)[0],
    "vector_norm": lambda x: x / torch.linalg.vector_norm(x, dim=(2, 3), keepdim=True),
    "normalize": lambda x: F.normalize(x, dim=2),
    "sort": lambda x: x.sort(2).values,
    "argsort": lambda x: x.argsort(dim=2),
    "cumprod": lambda x: x.cumprod(2),
    "topk": lambda x: x.topk(3, 2).values,
    "diff": lambda x: torch.diff(x, 1, 2),
    "flatten": lambda x: x.flatten(2, 3),
    "transpose": lambda x: x.transpose(2, 3),
    "step": lambda x: x[:, :, ::2, ::2],
    "step last": lambda x: x[..., ::2],
    "pad": lambda x: F.pad(x, (1, 1, 1, 1)),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x, 2),
}


@pytest.mark.parametrize("call", PLANE_ONLY.values(), ids=PLANE_ONLY)
def test_a_plane_only_call_is_refused_with_module_file_and_line(
    call: Callable[[Tensor], Tensor],
) -> None:
    with pytest.raises(
        UnsupportedFunctionError,
        match=r"^'1' \(Calling\.\w+, test_functional\.py:\d+\).*: write the call for any rank, or",
    ) as caught:
        inflate(nn.Sequential(nn.Conv2d(3, 3, 1), Calling(call)))
    assert "\n" not in str(caught.value)


ANY_RANK = {
    "global mean": lambda x: x.flatten(2).mean(2),
    "all axes": lambda x: x.mean(tuple(range(2, x.ndim)), keepdim=True) + x,
    "channel mean": lambda x: x.mean(1, keepdim=True),
    "channel cat": lambda x: torch.cat([x, x], dim=1),
    "channel chunk": lambda x: x.chunk(2, dim=1)[0],
    "channel split": lambda x: torch.split(x, 2, 1)[1],
    "channel index": lambda x: x[:, 1:3],
    "channel softmax": lambda x: F.softmax(x, dim=1),
    "channel normalize": lambda x: F.normalize(x) + F.normalize(x, dim=1),
    "channel sort": lambda x: x.sort(1).values,
    "channel flip": lambda x: torch.flip(x, dims=[1]),
    "statistics of everything": lambda x: (
        x - torch.var_mean(x, tuple(range(2, x.ndim)), keepdim=True)[1]
    ),
    "batch index": lambda x: x[0:1] + x,
    "nearest": lambda x: F.interpolate(x, size=x.shape[2:]),
    "relu": lambda x: F.relu(x) + x.sigmoid(),
    "full pad": lambda x: F.pad(x, (1, 1) * (x.ndim - 2)),
}


@pytest.mark.parametrize("call", ANY_RANK.values(), ids=ANY_RANK)
def test_a_call_written_for_any_rank_is_kept_and_exact_on_a_constant_volume(
    call: Callable[[Tensor], Tensor],
) -> None:
    net2d = Calling(call)
    one = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        result = inflate(net2d)(one.unsqueeze(2).expand(-1, -1, 5, -1, -1))
        expected = net2d(one)
    if result.ndim == 5:
        result = result[:, :, 2]
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


def test_a_linear_layer_after_a_map_that_gained_a_depth_is_refused_by_name() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(2), nn.Flatten(1), nn.Linear(16, 2)
    )
    with pytest.raises(ShapeMismatchError, match=r"^'3' \(Linear\) does not accept its input"):
        inflate(net)


def test_a_global_pool_before_a_linear_layer_is_kept() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(4, 2))
    assert inflate(net)(torch.zeros(2, 3, 4, 8, 8)).shape == (2, 2)


def test_an_output_that_lost_more_than_it_gained_is_refused() -> None:
    with pytest.raises(ShapeMismatchError, match=r"output is \(2, 4\) in 2D and \(2, 256\) in 3D"):
        inflate(Calling(lambda x: x.reshape(x.shape[0], -1, 64 * 64).mean(2)))


def by_rank(plane: object, volume: object) -> Callable[[Tensor], object]:
    return lambda x: (plane if x.ndim == 4 else volume)(x)  # type: ignore[operator]


OTHER_STRUCTURES = {
    "fewer": (lambda x: (x, x), lambda x: (x,), r"output\[1\] is a tensor in 2D and nothing in 3D"),
    "more": (lambda x: [x], lambda x: [x, x], r"output\[1\] is nothing in 2D and a tensor in 3D"),
    "other key": (lambda x: {"a": x}, lambda x: {"b": x}, r"output\['a'\] is a tensor in 2D"),
    "no tuple": (lambda x: (x,), lambda x: x, r"output\[0\] is a tensor in 2D and nothing in 3D"),
    "no tensor": (lambda x: x, lambda x: 3, "output is a tensor in 2D and int in 3D"),
    "none": (lambda x: (x, None), lambda x: (x, x), r"output\[1\] is NoneType in 2D and a tensor"),
}


@pytest.mark.parametrize(
    ("plane", "volume", "message"), OTHER_STRUCTURES.values(), ids=OTHER_STRUCTURES
)
def test_an_output_of_another_structure_is_refused_at_its_place(
    plane: object, volume: object, message: str
) -> None:
    with pytest.raises(ShapeMismatchError, match=rf"^{message}") as caught:
        inflate(Calling(by_rank(plane, volume)))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_an_output_that_holds_a_shape_may_hold_the_depth_too() -> None:
    net3d = inflate(Calling(lambda x: (x, x.shape[2:], None, "map")))  # type: ignore[arg-type,return-value]
    assert net3d(torch.zeros(1, 3, 4, 8, 8))[1] == (4, 8, 8)


class OwnForward(nn.Module):
    """Its forward is another's function, which does not call its module `self`."""

    def __init__(self, forward: Callable[..., Tensor]) -> None:
        super().__init__()
        self.forward = forward  # type: ignore[method-assign]


def test_a_forward_that_is_a_plain_function_is_named_by_module_file_and_line() -> None:
    net = OwnForward(unpack)
    for whole, name in ((net, "the network itself"), (nn.Sequential(net), "'0'")):
        with pytest.raises(
            UnsupportedFunctionError,
            match=rf"^{name} \(OwnForward\.forward, test_functional\.py:\d+\) only works",
        ):
            inflate(whole)


def test_a_module_that_cannot_be_called_in_3d_is_named_without_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tomolift.inflation.layers import _registry

    class Paired(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    monkeypatch.setattr(
        _registry, "_REGISTRY", {**_registry._REGISTRY, OwnForward: lambda module, layer: Paired()}
    )
    with pytest.raises(
        UnsupportedFunctionError, match=r"^'0' \(Paired\.forward\) only works in 2D"
    ):
        inflate(nn.Sequential(OwnForward(F.relu)))


def test_a_network_for_one_size_needs_an_example() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), Calling2x(), nn.Flatten(1), nn.Linear(4, 2))
    with pytest.raises(InflationError, match="pass example=, a batch that it accepts"):
        inflate(net)
    assert inflate(net, example=torch.zeros(1, 3, 40, 40))(torch.zeros(1, 3, 40, 40, 40)).ndim == 2


class Calling2x(nn.Module):
    """Accepts maps of 40 x 40 only."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != 40:
            raise ValueError("40 wanted")
        return x.flatten(2).mean(2)
