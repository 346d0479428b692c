"""The design's numbered facts about inflation, each as a test."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tomolift.inflation import Center, inflate, inflate_state_dict, tensor_report

TOLERANCE = 1e-5  # issue 2's bound for fp32; measured here: below 2e-6
MakeSlices = Callable[..., Tensor]


def relative_error(result: Tensor, reference: Tensor) -> float:
    return ((result - reference).abs().max() / reference.abs().max()).item()


def as_volume(slices: Tensor) -> Tensor:
    """(D, C, H, W) -> (1, C, D, H, W)."""
    return slices.transpose(0, 1).unsqueeze(0)


def constant_volume(one_slice: Tensor, depth: int) -> Tensor:
    return as_volume(one_slice.expand(depth, -1, -1, -1))


@torch.no_grad()
@pytest.mark.parametrize("strategy", ["average", "center", "scaling", "triangular", "negative"])
def test_f1_an_interior_slice_of_a_constant_volume_is_exact_where_taps_sum_to_the_filter(
    strategy: str, make_slices: MakeSlices
) -> None:
    conv2d = nn.Conv2d(3, 4, 7, padding=3)
    conv3d = inflate(conv2d, strategy, depth_padding="zeros")
    one = make_slices(1)
    inner = conv3d(constant_volume(one, 9))[:, :, 3:6]
    assert relative_error(inner, conv2d(one).unsqueeze(2).expand_as(inner)) < TOLERANCE


@torch.no_grad()
def test_f1_zero_sum_noise_on_the_taps_leaves_the_interior_exact(make_slices: MakeSlices) -> None:
    conv2d = nn.Conv2d(3, 4, 3, padding=1)
    conv3d = inflate(conv2d, "average", depth_padding="zeros")
    noise = torch.randn(conv3d.weight.shape, generator=torch.Generator().manual_seed(3))
    conv3d.weight += noise - noise.mean(2, keepdim=True)
    one = make_slices(1)
    assert relative_error(conv3d(constant_volume(one, 5))[:, :, 2], conv2d(one)) < TOLERANCE


@torch.no_grad()
def test_f1_taps_that_do_not_sum_to_the_filter_are_not_exact(make_slices: MakeSlices) -> None:
    conv2d = nn.Conv2d(3, 4, 3, padding=1, bias=False)
    conv3d = inflate(conv2d, "average", depth_padding="zeros")
    conv3d.weight *= 3  # every tap the whole filter: the usual mistake
    one = make_slices(1)
    error = relative_error(conv3d(constant_volume(one, 5))[:, :, 2], conv2d(one))
    assert error == pytest.approx(2.0, abs=1e-4)


@torch.no_grad()
def test_f2_zero_padding_keeps_two_thirds_of_an_averaging_kernel_at_an_end(
    make_slices: MakeSlices,
) -> None:
    conv2d = nn.Conv2d(3, 4, 3, padding=1, bias=False)
    conv3d = inflate(conv2d, "average", depth_padding="zeros")
    one = make_slices(1)
    volume, reference = conv3d(constant_volume(one, 6)), conv2d(one)
    for end in (0, -1):
        torch.testing.assert_close(volume[:, :, end], reference * 2 / 3, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("strategy", ["average", "center", "scaling", "triangular", "negative"])
@pytest.mark.parametrize("depth", [1, 2, 5, 16])
def test_f2_replicate_padding_keeps_every_slice_of_a_constant_volume_exact(
    small_resnet: nn.Module, strategy: str, depth: int, make_slices: MakeSlices
) -> None:
    net3d = inflate(small_resnet, strategy, depth_padding="replicate")
    one = make_slices(1)
    logits, reference = net3d(constant_volume(one, depth)), small_resnet(one)
    for position in range(depth):
        assert relative_error(logits[:, :, position], reference) < TOLERANCE


@torch.no_grad()
def test_f2_the_end_error_of_zero_padding_walks_through_a_whole_short_volume(
    small_resnet: nn.Module, make_slices: MakeSlices
) -> None:
    net3d = inflate(small_resnet, "average", depth_padding="zeros")
    one = make_slices(1)
    logits, reference = net3d(constant_volume(one, 16)), small_resnet(one)
    errors = [relative_error(logits[:, :, d], reference) for d in range(16)]
    assert min(errors) > 0.01


def test_f2_replicate_in_depth_leaves_the_plane_padded_as_before(make_slices: MakeSlices) -> None:
    conv2d = nn.Conv2d(3, 4, 5, padding=(2, 1), padding_mode="reflect")
    with torch.no_grad():
        one = make_slices(1)
        result = inflate(conv2d, "average")(constant_volume(one, 4))
        assert relative_error(result[:, :, 0], conv2d(one)) < TOLERANCE


@torch.no_grad()
@pytest.mark.parametrize("depth_padding", ["zeros", "replicate"])
def test_f3_zero_inflation_without_depth_stride_equals_the_2d_network_slice_by_slice(
    small_resnet: nn.Module, depth_padding: str, make_slices: MakeSlices
) -> None:
    net3d = inflate(small_resnet, "zero", depth_stride=1, depth_padding=depth_padding)
    slices = make_slices(11)
    logits, reference = net3d(as_volume(slices)), small_resnet(slices)
    for position in range(11):
        assert relative_error(logits[0, :, position], reference[position]) < TOLERANCE


@torch.no_grad()
def test_f3_with_depth_stride_the_centre_equals_every_sth_slice(make_slices: MakeSlices) -> None:
    conv2d = nn.Sequential(nn.Conv2d(3, 4, 7, 2, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, 2, 1))
    conv3d = inflate(conv2d, "center", depth_padding="zeros")
    slices = make_slices(18)
    result, reference = conv3d(as_volume(slices)), conv2d(slices)
    assert result.shape[2] == 5
    for position in range(5):
        assert relative_error(result[0, :, position], reference[4 * position]) < TOLERANCE


@torch.no_grad()
def test_f3_a_pool_with_a_depth_kernel_would_not_be_slicewise(make_slices: MakeSlices) -> None:
    slices = make_slices(6)
    pooled = inflate(nn.MaxPool2d(3, 2, 1), depth_stride=1)(as_volume(slices))
    assert torch.equal(pooled[0].transpose(0, 1), nn.MaxPool2d(3, 2, 1)(slices))


@torch.no_grad()
def test_f4_an_even_centre_is_the_mean_of_the_two_slices_that_it_lies_between(
    make_slices: MakeSlices,
) -> None:
    conv2d = nn.Conv2d(3, 4, 4, padding=0)
    conv3d = inflate(conv2d, "center", depth_padding="zeros")
    slices = make_slices(6)
    result, reference = conv3d(as_volume(slices)), conv2d(slices)
    expected = (reference[1:4] + reference[2:5]) / 2
    torch.testing.assert_close(result[0].transpose(0, 1), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_f6_a_max_pool_is_exact_at_every_slice(make_slices: MakeSlices) -> None:
    pool, one = nn.MaxPool2d(3, 2, 1), make_slices(1)
    result = inflate(pool, depth_padding="zeros")(constant_volume(one, 7))
    assert torch.equal(result, pool(one).unsqueeze(2).expand_as(result))


@torch.no_grad()
def test_f6_an_average_pool_that_counts_depth_padding_is_off_by_a_third_at_an_end(
    make_slices: MakeSlices,
) -> None:
    pool, one = nn.AvgPool2d(3, 2, 1), make_slices(1)
    plain = inflate(pool, depth_padding="zeros")(constant_volume(one, 8))
    torch.testing.assert_close(plain[:, :, 0], pool(one) * 2 / 3)
    exact = inflate(pool, depth_padding="replicate")(constant_volume(one, 8))
    torch.testing.assert_close(exact, pool(one).unsqueeze(2).expand_as(exact))


@torch.no_grad()
@pytest.mark.parametrize("depth_padding", ["zeros", "replicate"])
def test_f6_a_divisor_override_is_multiplied_by_the_depth_kernel(
    depth_padding: str, make_slices: MakeSlices
) -> None:
    pool, one = nn.AvgPool2d(2, 2, divisor_override=3), make_slices(1)
    result = inflate(pool, depth_padding=depth_padding)(constant_volume(one, 8))
    torch.testing.assert_close(result, pool(one).unsqueeze(2).expand_as(result))


@torch.no_grad()
@pytest.mark.parametrize(("strategy", "expected"), [("average", 1 / 3), ("center", 1.0)])
def test_f7_averaging_shrinks_the_variance_of_independent_slices_and_the_centre_keeps_it(
    strategy: str, expected: float, make_slices: MakeSlices
) -> None:
    """var3/var2 = sum_ij alpha_i alpha_j rho_|i-j|, with rho = 0 between different slices."""
    conv2d = nn.Conv2d(3, 4, 3, bias=False)
    conv3d = inflate(conv2d, strategy, depth_padding="zeros")
    slices = make_slices(64, side=34)
    ratio = conv3d(as_volume(slices))[:, :, 1:-1].var() / conv2d(slices).var()
    assert ratio.item() == pytest.approx(expected, rel=0.03)


def test_f7_batch_norm_is_copied_with_its_running_statistics(small_resnet: nn.Module) -> None:
    state_2d, state_3d = small_resnet.state_dict(), inflate(small_resnet, "average").state_dict()
    names = [name for name in state_2d if "bn" in name]
    assert len(names) > 50
    assert all(torch.equal(state_2d[name], state_3d[name]) for name in names)


def test_generic_inflation_equals_inflating_the_tensors(small_resnet: nn.Module) -> None:
    net3d = inflate(small_resnet, Center())
    state = inflate_state_dict(small_resnet.state_dict(), like=net3d, strategy=Center())
    assert all(torch.equal(state[name], value) for name, value in net3d.state_dict().items())
    assert not any(
        "not" in line for line in tensor_report(small_resnet.state_dict(), net3d.state_dict())
    )


@torch.no_grad()
@pytest.mark.parametrize(
    ("kernel", "padding", "shares"),
    [(2, 0, (1.0, 1.0)), (4, 1, (0.5, 0.5, 0.5, 0.5)), (3, 1, (0.5, 1.0, 0.5))],
)
def test_f5_the_taps_of_a_transposed_convolution_sum_to_the_filter_for_each_residue(
    kernel: int, padding: int, shares: tuple[float, ...], make_slices: MakeSlices
) -> None:
    up2d = nn.ConvTranspose2d(3, 4, kernel, 2, padding)
    up3d = inflate(up2d, "average")
    for tap, share in enumerate(shares):
        torch.testing.assert_close(up3d.weight[:, :, tap], share * up2d.weight)  # type: ignore[index]
    one = make_slices(1, side=8)
    result = up3d(constant_volume(one, 5))
    assert relative_error(result, up2d(one).unsqueeze(2).expand_as(result)) < TOLERANCE


@torch.no_grad()
def test_f5_averaging_all_taps_of_a_transposed_convolution_gives_a_checkerboard(
    make_slices: MakeSlices,
) -> None:
    up2d = nn.ConvTranspose2d(3, 4, 3, 2, 1, bias=False)
    up3d = inflate(up2d, "average")
    up3d.weight.copy_(up2d.weight.unsqueeze(2).expand_as(up3d.weight) / 3)  # type: ignore[operator]
    one = make_slices(1, side=8)
    result, reference = up3d(constant_volume(one, 5)), up2d(one)
    for position in range(9):
        share = 1 / 3 if position % 2 == 0 else 2 / 3
        torch.testing.assert_close(result[:, :, position], share * reference)


@torch.no_grad()
@pytest.mark.parametrize("norm", [nn.GroupNorm(1, 3), nn.InstanceNorm2d(3)], ids=repr)
def test_f8_a_norm_over_the_volume_is_exact_on_exact_slices_and_spread_by_one_wrong_slice(
    norm: nn.Module, make_slices: MakeSlices
) -> None:
    one = make_slices(1)
    volume = constant_volume(one, 8).clone()
    expected = norm(one)
    norm3d = inflate(norm)
    assert relative_error(norm3d(volume)[:, :, 4], expected) < TOLERANCE
    volume[:, :, 0] *= 0.5
    assert relative_error(norm3d(volume)[:, :, 4], expected) > 0.01


@torch.no_grad()
def test_f13_a_pixel_shuffle_acts_in_the_plane_of_every_slice(make_slices: MakeSlices) -> None:
    slices = make_slices(5, channels=8, side=6)
    for shuffle in (nn.PixelShuffle(2), nn.PixelUnshuffle(3)):
        result = inflate(shuffle, example=slices)(as_volume(slices))
        assert torch.equal(result, as_volume(shuffle(slices)))
