"""The U-Net: counts, names, sizes, its decoder written out, errors."""

from __future__ import annotations

import inspect

import pytest
import torch
import torch.nn.functional as F

from tomolift.models import (
    DilatedResNet18,
    UNet,
    load_pretrained,
    read_checkpoint,
    write_checkpoint,
)

# As a user calls it: without the annotations' checks, which only these tests switch on.
unchecked_init = inspect.unwrap(UNet.__init__)
ENCODERS = {"resnet18": 11_176_512, "resnet34": 21_284_672, "resnet50": 23_508_032}
CHANNELS = {
    "resnet18": (64, 128, 256, 512),
    "resnet34": (64, 128, 256, 512),
    "resnet50": (256, 512, 1024, 2048),
}
NARROW = (32, 16, 16, 8)  # a decoder for tests that are quick


def _decoder_count(channels, widths, *, dims, upsampling):
    """Worked from the table: enlarge, concatenate, two 3x3 convolutions with norms."""
    skips = (channels[2], channels[1], channels[0], 64, 0)
    below, count = channels[3], 0
    for skip, width in zip(skips, widths, strict=False):
        if upsampling == "transposed":  # kernel 2 on every axis, with bias
            count += below * width * 2**dims + width
            below = width
        count += (below + skip) * width * 3**dims + 2 * width
        count += width * width * 3**dims + 2 * width
        below = width
    return count


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("upsampling", ["linear", "transposed"])
@pytest.mark.parametrize("widths", [(256, 128, 64, 32), (256, 128, 64, 32, 16)])
def test_parameters_are_the_encoder_s_the_decoder_s_and_the_head_s(encoder, upsampling, widths):
    with torch.device("meta"):
        network = UNet(5, encoder=encoder, upsampling=upsampling, decoder_channels=widths)
    decoder = _decoder_count(CHANNELS[encoder], widths, dims=2, upsampling=upsampling)
    count = sum(value.numel() for value in network.parameters())
    assert count == ENCODERS[encoder] + decoder + 5 * widths[-1] + 5


@pytest.mark.parametrize("upsampling", ["linear", "transposed"])
def test_the_3d_decoder_has_the_worked_count(upsampling):
    with torch.device("meta"):
        network = UNet(5, spatial_dims=3, upsampling=upsampling)
    widths = (256, 128, 64, 32)
    worked = _decoder_count(CHANNELS["resnet18"], widths, dims=3, upsampling=upsampling)
    assert sum(value.numel() for value in network.decoder.parameters()) == worked


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("upsampling", ["linear", "transposed"])
def test_names_are_the_same_in_2d_and_3d_and_for_every_depth_option(encoder, upsampling):
    options = {"encoder": encoder, "upsampling": upsampling}
    with torch.device("meta"):
        flat = list(UNet(3, **options).state_dict())
        for depth in ({}, {"depth_stride": (1, 2, 1, 3, 1, 2)}, {"depth_padding": "replicate"}):
            assert list(UNet(3, spatial_dims=3, **options, **depth).state_dict()) == flat


@pytest.mark.parametrize("upsampling", ["linear", "transposed"])
@pytest.mark.parametrize("size", [(64, 96), (33, 50), (1, 7), (127, 32)])
def test_slices_of_any_size_come_back_at_their_size(upsampling, size):
    with torch.device("meta"):
        network = UNet(4, upsampling=upsampling).eval()
        x = torch.empty(2, 3, *size)
        assert network(x).shape == (2, 4, *size)
        low = network(x, full_resolution=False)
    assert low.shape == (2, 4, *(-(-side // 2) for side in size))


@pytest.mark.parametrize("upsampling", ["linear", "transposed"])
@pytest.mark.parametrize("depth_stride", ["same", 1, (1, 1, 1, 2, 2, 2), (2, 1, 2, 3, 1, 2)])
@pytest.mark.parametrize("depth", [1, 2, 9, 70])
def test_volumes_of_any_depth_come_back_at_their_size(upsampling, depth_stride, depth):
    with torch.device("meta"):
        network = UNet(3, spatial_dims=3, upsampling=upsampling, depth_stride=depth_stride).eval()
        x = torch.empty(1, 1, depth, 33, 40)
        low = network(x, full_resolution=False)
        assert network(x).shape == (1, 3, depth, 33, 40)
    assert low.shape[2:] == tuple(
        -(-side // stride) for side, stride in zip(x.shape[2:], network.output_stride, strict=True)
    )


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_a_fifth_block_gives_logits_at_the_input_s_size(spatial_dims):
    with torch.device("meta"):
        network = UNet(3, spatial_dims=spatial_dims, decoder_channels=(256, 128, 64, 32, 16))
        x = torch.empty(1, 3, *(9, 33, 34)[-spatial_dims:])
        assert network.output_stride == (1,) * spatial_dims
        assert network(x, full_resolution=False).shape[2:] == x.shape[2:]
        assert network(x).shape[2:] == x.shape[2:]


def test_the_output_stride_is_the_stem_s():
    with torch.device("meta"):
        assert UNet(3).output_stride == (2, 2)
        assert UNet(3, spatial_dims=3).output_stride == (2, 2, 2)
        assert UNet(3, spatial_dims=3, depth_stride=1).output_stride == (1, 2, 2)


def _reference(network, x, *, upsampling):
    """The decoder written out with functions on the encoder's own maps; eval mode, 2D."""
    state, maps = network.state_dict(), []
    y = network.bn1(network.conv1(x)).relu()
    maps.append(y)
    y = F.max_pool2d(y, 3, 2, 1)
    for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
        y = layer(y)
        maps.append(y)
    y = maps.pop()

    def convolve(y, name, index):
        keys = ("running_mean", "running_var", "weight", "bias")
        y = F.conv2d(y, state[f"{name}.conv{index}.weight"], None, 1, 1)
        return F.batch_norm(y, *(state[f"{name}.bn{index}.{key}"] for key in keys)).relu()

    for index, skip in enumerate(reversed(maps)):
        name, (height, width) = f"decoder.{index}", skip.shape[2:]
        if upsampling == "linear":
            y = F.interpolate(y, (height, width), mode="bilinear", align_corners=True)
        else:
            weight, bias = (state[f"{name}.upsample.{key}"] for key in ("weight", "bias"))
            y = F.conv_transpose2d(y, weight, bias, stride=2)[..., :height, :width]
        y = convolve(convolve(torch.cat((y, skip), 1), name, 1), name, 2)
    y = F.conv2d(y, state["head.weight"], state["head.bias"])
    return F.interpolate(y, x.shape[2:], mode="bilinear", align_corners=True)


@pytest.mark.parametrize("upsampling", ["linear", "transposed"])
@pytest.mark.parametrize("size", [(64, 32), (37, 50)])
def test_the_decoder_computes_what_its_description_says(randomise, generator, upsampling, size):
    network = UNet(3, upsampling=upsampling, decoder_channels=NARROW, generator=generator)
    network = randomise(network).double().eval()
    torch.nn.init.normal_(network.head.weight, generator=generator)
    x = torch.rand(1, 3, *size, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(network(x), _reference(network, x, upsampling=upsampling))


@pytest.mark.parametrize("upsampling", ["linear", "transposed"])
def test_every_parameter_learns(upsampling, generator):
    network = UNet(3, upsampling=upsampling, decoder_channels=NARROW, generator=generator)
    network(torch.rand(2, 3, 64, 64, generator=generator)).square().mean().backward()
    still = [name for name, value in network.named_parameters() if not value.grad.abs().max() > 0]
    assert still == []


def test_transposed_filters_keep_the_variance(generator):
    network = UNet(3, upsampling="transposed", spatial_dims=3, generator=generator)
    layer = network.decoder[0].upsample
    x = torch.randn(1, 512, 4, 4, 4, generator=generator)
    # five standard errors of the standard deviation of 256 filters with 8 taps each
    assert layer(x).std().item() == pytest.approx(1.0, abs=5 / (2 * 256 * 8) ** 0.5)
    assert layer.bias.count_nonzero() == 0


def test_a_generator_decides_the_weights_and_leaves_the_global_one_alone():
    before = torch.get_rng_state()
    first, second = (
        UNet(3, upsampling="transposed", generator=torch.Generator().manual_seed(5))
        for _ in range(2)
    )
    assert torch.equal(before, torch.get_rng_state())
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_one_channel_equals_three_equal_ones(spatial_dims, generator):
    network = UNet(3, spatial_dims=spatial_dims, decoder_channels=NARROW, generator=generator)
    network = network.double().eval()
    grey = torch.rand(1, 1, *(9, 33, 40)[-spatial_dims:], dtype=torch.float64, generator=generator)
    colour = grey.repeat_interleave(3, dim=1)
    with torch.no_grad():
        torch.testing.assert_close(network(grey), network(colour))


def test_a_dilated_network_s_checkpoint_fills_the_encoder(tmp_path, generator):
    source = DilatedResNet18(21, generator=generator)
    write_checkpoint(tmp_path / "voc.safetensors", source.state_dict(), {})
    network = UNet(3)
    before = network.head.weight.clone()
    report = load_pretrained(network, read_checkpoint(tmp_path / "voc.safetensors"))
    assert len(report.matched) == 100
    assert report.unused == ("fc.bias", "fc.weight")
    assert {name.split(".")[0] for name in report.reinitialised} == {"decoder", "head"}
    assert torch.equal(network.layer4[1].conv2.weight, source.layer4[1].conv2.weight)
    assert torch.equal(network.head.weight, before)


def test_a_u_net_s_checkpoint_comes_back_whole_and_keeps_another_head(tmp_path, generator):
    source = UNet(21, generator=generator)
    write_checkpoint(tmp_path / "unet.safetensors", source.state_dict(), {})
    checkpoint = read_checkpoint(tmp_path / "unet.safetensors")
    assert (checkpoint.naming, checkpoint.num_classes) == ("tomolift", 21)
    same, other, dilated = UNet(21), UNet(3), DilatedResNet18(3)
    assert load_pretrained(same, checkpoint).reinitialised == ()
    assert all(
        torch.equal(value, same.state_dict()[name]) for name, value in source.state_dict().items()
    )
    assert load_pretrained(other, checkpoint).reinitialised == ("head.weight", "head.bias")
    assert load_pretrained(dilated, checkpoint).reinitialised == ("fc.weight", "fc.bias")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 0}, "num_classes=0, expected an int >= 1"),
        ({"encoder": "resnet20"}, "encoder='resnet20', expected 'resnet18', 'resnet34' or 'resnet"),
        ({"upsampling": "nearest"}, "upsampling='nearest', expected 'linear' or 'transposed'"),
        ({"decoder_channels": (64, 32)}, "expected a tuple of four or five ints >= 1"),
        ({"decoder_channels": (64, 32, 16, 0)}, r"decoder_channels=\(64, 32, 16, 0\), expected"),
        ({"depth_stride": 1}, "spatial_dims=2, which has no depth"),
        ({"spatial_dims": 3, "depth_stride": (2, 2, 1, 2, 1)}, "a tuple of six"),
        ({"spatial_dims": 3, "depth_padding": "wrap"}, "depth_padding='wrap', expected 'zeros' or"),
    ],
)
def test_arguments_out_of_range_are_named_in_one_line(options, message):
    with pytest.raises(ValueError, match=message) as error:
        unchecked_init(UNet.__new__(UNet), **options)
    assert "\n" not in str(error.value)


def test_an_input_of_another_rank_is_refused():
    with pytest.raises(ValueError, match=r"x has 5 axes, expected 4 \(N, C, H, W\)"):
        UNet(3)(torch.zeros(1, 3, 8, 32, 32))
