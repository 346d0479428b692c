"""Every layer type against itself in 2D, on a volume that repeats one slice and on any volume."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tomolift.inflation import UnsupportedLayerError, inflate

# torch's own remark about the 2D layers drawn here
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
Check = Callable[..., None]
MakeNoise = Callable[..., Tensor]
STRATEGIES = ["average", "center", "triangular", "negative"]
relaxed = settings(
    max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


@st.composite
def convolutions(draw: st.DrawFn, *, odd: bool = False, unit_stride: bool = False) -> nn.Conv2d:
    kernel = draw(st.sampled_from([1, 3, 5] if odd else [1, 2, 3, 4, 5]))
    dilation = draw(st.integers(1, 3))
    reach = dilation * (kernel - 1)
    stride = 1 if unit_stride else draw(st.integers(1, 3))
    padding: int | str = draw(st.sampled_from([0, reach // 2]))
    if stride == 1 and draw(st.booleans()):
        padding = "same"
    assume(padding != 0 or reach < 9)
    layer = nn.Conv2d(
        4,
        8,
        kernel,
        stride,
        padding,
        dilation,
        groups=draw(st.sampled_from([1, 2, 4])),
        bias=draw(st.booleans()),
        padding_mode=draw(st.sampled_from(["zeros", "replicate", "circular"])),
        dtype=torch.float64,
    )
    assume(layer.padding_mode != "circular" or reach < 9)
    return layer


@relaxed
@given(layer=convolutions(), strategy=st.sampled_from(STRATEGIES))
def test_any_convolution_is_exact_at_every_slice_of_a_constant_volume(
    layer: nn.Conv2d, strategy: str, assert_constant_volume: Check
) -> None:
    assert_constant_volume(layer, depth=13, strategy=strategy)


@relaxed
@given(layer=convolutions(), strategy=st.sampled_from(STRATEGIES), depth_stride=st.integers(1, 3))
def test_a_depth_stride_of_its_own_keeps_a_constant_volume_exact(
    layer: nn.Conv2d, strategy: str, depth_stride: int, assert_constant_volume: Check
) -> None:
    assert_constant_volume(layer, depth=13, strategy=strategy, depth_stride=depth_stride)


@relaxed
@given(
    layer=convolutions(odd=True),
    strategy=st.sampled_from(STRATEGIES),
    depth_kernel=st.sampled_from([1, 3, 5, 7]),
)
def test_a_depth_kernel_of_its_own_keeps_a_constant_volume_exact(
    layer: nn.Conv2d, strategy: str, depth_kernel: int, assert_constant_volume: Check
) -> None:
    assert_constant_volume(layer, depth=13, strategy=strategy, depth_kernel=depth_kernel)


@relaxed
@given(layer=convolutions(odd=True), depth_padding=st.sampled_from(["zeros", "replicate"]))
def test_an_odd_centre_that_keeps_the_size_is_slicewise_exact(
    layer: nn.Conv2d, depth_padding: str, assert_slicewise: Check
) -> None:
    assume(
        layer.padding == "same"
        or layer.padding[0] == layer.dilation[0] * (layer.kernel_size[0] // 2)
    )
    assert_slicewise(layer, strategy="center", depth_padding=depth_padding)


@relaxed
@given(
    kind=st.sampled_from([nn.MaxPool2d, nn.AvgPool2d]),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padded=st.booleans(),
    ceil_mode=st.booleans(),
)
def test_any_pool_is_exact_at_every_slice_of_a_constant_volume(
    kind: type[nn.Module],
    kernel: int,
    stride: int,
    padded: bool,
    ceil_mode: bool,
    assert_constant_volume: Check,
) -> None:
    padding = kernel // 2 if padded else 0
    assert_constant_volume(kind(kernel, stride, padding, ceil_mode=ceil_mode))


@relaxed
@given(kernel=st.integers(1, 4), stride=st.integers(1, 3), padded=st.booleans())
def test_any_pool_is_slicewise_without_depth_stride(
    kernel: int, stride: int, padded: bool, assert_slicewise: Check
) -> None:
    for kind in (nn.MaxPool2d, nn.AvgPool2d):
        assert_slicewise(kind(kernel, stride, kernel // 2 if padded else 0))


@pytest.mark.parametrize(
    "layer",
    [
        nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        nn.AvgPool2d(3, 2, 1, divisor_override=5),
        nn.AvgPool2d(2, 2, ceil_mode=True, divisor_override=5),
        nn.MaxPool2d((3, 2), (2, 1), (1, 0)),
        nn.MaxPool2d(2, 1, dilation=2),
        nn.Conv2d(4, 8, (3, 5), (1, 2), (1, 2), dtype=torch.float64),
        nn.Conv2d(4, 8, 3, padding="valid", dtype=torch.float64),
        nn.Conv2d(4, 8, 3, padding=2, padding_mode="reflect", dtype=torch.float64),
        nn.Upsample(scale_factor=2),
        nn.Upsample(scale_factor=2, mode="nearest-exact"),
        nn.Upsample(scale_factor=(2, 3), mode="bilinear"),
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
        nn.UpsamplingBilinear2d(scale_factor=2),
        nn.UpsamplingNearest2d(scale_factor=2),
        nn.AdaptiveAvgPool2d((3, None)),
        nn.AdaptiveAvgPool2d(1),
        nn.AdaptiveMaxPool2d((2, 5)),
        nn.BatchNorm2d(4, dtype=torch.float64).eval(),
        nn.BatchNorm2d(4, affine=False, track_running_stats=False),
        nn.InstanceNorm2d(4, affine=True, dtype=torch.float64),
        nn.GroupNorm(2, 4, dtype=torch.float64),
        nn.Sequential(nn.GroupNorm(2, 4), nn.PReLU(4)).double(),
        nn.Softmax(dim=1),
        nn.Softmax2d(),
        nn.Softmin(dim=1),
        nn.GLU(dim=1),
        nn.LocalResponseNorm(3),
        nn.ChannelShuffle(2),
        nn.PixelShuffle(2),
        nn.Sequential(nn.ZeroPad2d((0, 1, 1, 0)), nn.PixelUnshuffle(2)),
        nn.LPPool2d(2, 3, 2),
        nn.LPPool2d(4, (2, 3), ceil_mode=True),
        nn.LPPool2d(float("inf"), 3, 2),
        nn.LPPool2d(-float("inf"), 3, 2),
        nn.FeatureAlphaDropout().eval(),
        nn.Dropout2d().eval(),
        nn.Identity(),
    ],
    ids=repr,
)
def test_layer_is_exact_at_every_slice_of_a_constant_volume(
    layer: nn.Module, assert_constant_volume: Check
) -> None:
    assert_constant_volume(layer)


@pytest.mark.parametrize("scale", [2, (2, 3)])
def test_an_upsampling_without_depth_stride_keeps_every_slice(
    scale: object, assert_slicewise: Check
) -> None:
    assert_slicewise(nn.Upsample(scale_factor=scale, mode="bilinear"))  # type: ignore[arg-type]


def test_a_channel_dropout_drops_a_channel_in_all_slices_at_once() -> None:
    torch.manual_seed(0)
    kept = inflate(nn.Dropout2d())(torch.ones(4, 16, 3, 5, 5))
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(kept.amax((2, 3, 4)), kept.amin((2, 3, 4)))


def test_a_one_by_one_filter_becomes_one_by_one_by_one() -> None:
    layer = inflate(nn.Conv2d(4, 8, 1, 2), depth_kernel=5)
    assert layer.kernel_size == (1, 1, 1)
    assert layer.stride == (2, 2, 2)


def test_depth_stride_one_turns_a_pool_into_one_of_a_single_slice() -> None:
    pool = inflate(nn.MaxPool2d(3, 2, 1), depth_stride=1)
    assert (pool.kernel_size, pool.stride, pool.padding) == ((1, 3, 3), (1, 2, 2), (0, 1, 1))


def test_a_tiling_filter_tiles_the_depth_at_its_own_stride() -> None:
    layer = inflate(nn.Conv2d(4, 8, 2, 2), depth_stride=1)
    assert layer.kernel_size == (1, 2, 2)
    assert inflate(nn.Conv2d(4, 8, 4, 4)).kernel_size == (4, 4, 4)


def test_zeros_padding_gives_plain_torch_layers() -> None:
    net = inflate(nn.Sequential(nn.Conv2d(4, 8, 3, padding=1)), depth_padding="zeros")
    assert type(net[0]) is nn.Conv3d  # type: ignore[index]


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.Upsample(scale_factor=2, mode="bicubic"), "has no 3D form: use mode='bilinear'"),
        (nn.Upsample(size=(8, 8)), r"says nothing about the number of slices: use Upsample\(scale"),
        (nn.MaxPool2d(2, return_indices=True), "counts positions in a slice"),
        (nn.AdaptiveMaxPool2d(2, return_indices=True), "counts positions in a slice"),
        (nn.Softmax(dim=-1), r"Softmax\(dim=-1\) is not over the channels: use dim=1"),
        (nn.Flatten(1, 2), r"Flatten\(1, 2\) counts axes of a slice"),
        (nn.LayerNorm((4, 8, 8)), r"has a weight per position"),
        (nn.RMSNorm((8, 8)), r"RMSNorm\(\(8, 8\)\) has a weight per position"),
        (nn.GLU(), r"GLU\(dim=-1\) is not over the channels: use dim=1"),
        (nn.LazyConv2d(4, 3), "LazyConv2d has no shapes yet: run the 2D network once"),
        (nn.LazyLinear(4), "LazyLinear has no shapes yet"),
        (nn.FractionalMaxPool2d(2, 3), "draws its regions anew.*: use MaxPool2d"),
        (nn.MaxUnpool2d(2), "positions counted in a slice: use Upsample"),
        (nn.Unfold(3), "Unfold turns the patches of a slice into a row"),
        (nn.CrossMapLRN2d(3), "CrossMapLRN2d works on slices only: use LocalResponseNorm"),
        (nn.Unflatten(1, (2, 2)), "Unflatten counts axes of a slice"),
        (nn.AdaptiveAvgPool1d(4), r"cuts the row of positions in pieces: use AdaptiveAvgPool1d\(1"),
        (nn.DataParallel(nn.ReLU()), "inflate the network inside, net.module, and wrap"),
        (
            torch.compile(nn.ReLU(), backend="eager"),
            "inflate the network inside, net._orig_mod, and compile",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_a_layer_without_3d_form_is_refused_by_dotted_name_and_cure(
    layer: nn.Module, message: str
) -> None:
    net = nn.Sequential(nn.ReLU(), nn.Sequential(layer))
    with pytest.raises(UnsupportedLayerError, match=rf"^'1\.0': .*{message}") as caught:
        inflate(net)
    assert "\n" not in str(caught.value)


@torch.no_grad()
@pytest.mark.parametrize("depth_padding", ["zeros", "replicate"])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
def test_depth_stride_one_keeps_every_slice_of_a_strided_convolution(
    kernel: int,
    padding: int,
    dilation: int,
    depth_padding: str,
    assert_constant_volume: Check,
    make_noise: MakeNoise,
) -> None:
    layer = nn.Conv2d(4, 8, kernel, 2, padding, dilation, dtype=torch.float64)
    net3d = inflate(layer, depth_stride=1, depth_padding=depth_padding)  # type: ignore[arg-type]
    assert net3d(make_noise(1, 4, 8, 12, 12)).shape[2] == 8
    if depth_padding == "replicate":
        assert_constant_volume(layer, depth=8, depth_stride=1)


@torch.no_grad()
def test_an_even_centre_without_depth_stride_answers_for_a_slice_and_the_next(
    make_noise: MakeNoise,
) -> None:
    layer = nn.Conv2d(4, 8, 4, 2, 1, dtype=torch.float64)
    volume = make_noise(1, 4, 6, 12, 12)
    result = inflate(layer, "center", depth_stride=1)(volume)
    expected = layer(volume[0].transpose(0, 1)).transpose(0, 1)
    following = expected[:, [1, 2, 3, 4, 5, 5]]
    torch.testing.assert_close(result[0], (expected + following) / 2)


@torch.no_grad()
@pytest.mark.parametrize("depth_kernel", [1, 2, 3, 4])
@pytest.mark.parametrize("padding", [0, "valid", 2, "same"])
def test_a_depth_kernel_of_its_own_keeps_the_number_of_slices(
    padding: int | str, depth_kernel: int, assert_constant_volume: Check, make_noise: MakeNoise
) -> None:
    layer = nn.Conv2d(4, 8, 5, padding=padding, dtype=torch.float64)
    result = inflate(layer, depth_kernel=depth_kernel)(make_noise(1, 4, 8, 12, 12))
    assert result.shape[2] == 8
    assert_constant_volume(layer, depth=8, depth_kernel=depth_kernel)


@torch.no_grad()
@pytest.mark.parametrize("kind", [nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d])
def test_depth_stride_one_keeps_every_slice_of_an_adaptive_pool_of_several_cells(
    kind: type[nn.Module], assert_slicewise: Check, make_noise: MakeNoise
) -> None:
    for size in (4, (4, None), (None, 3), (2, 1)):
        assert_slicewise(kind(size))
    assert inflate(kind(1), depth_stride=1)(make_noise(1, 4, 9, 8, 8)).shape == (1, 4, 1, 1, 1)


def test_upsampling_that_undoes_an_unknown_depth_stride_is_refused() -> None:
    with pytest.raises(UnsupportedLayerError, match="use depth_stride='same' or 1"):
        inflate(nn.Upsample(scale_factor=4), depth_stride=2)
