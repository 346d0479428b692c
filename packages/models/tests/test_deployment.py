"""The networks in other memory formats and types, compiled, and exported."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from tomolift.models import DilatedResNet18, UNet

NARROW = (16, 16, 16, 8)


def _network(kind, spatial_dims, generator):
    if kind == "dilated":
        return DilatedResNet18(3, spatial_dims=spatial_dims, generator=generator).eval()
    return UNet(
        3,
        spatial_dims=spatial_dims,
        upsampling=kind,
        decoder_channels=NARROW,
        generator=generator,
    ).eval()


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("kind", ["dilated", "linear", "transposed"])
def test_channels_last_changes_no_answer(kind, spatial_dims, generator):
    network = _network(kind, spatial_dims, generator).double()
    x = torch.rand(1, 3, *(9, 33, 40)[-spatial_dims:], dtype=torch.float64, generator=generator)
    layout = torch.channels_last if spatial_dims == 2 else torch.channels_last_3d
    with torch.no_grad():
        expected = network(x)
        network = network.to(memory_format=layout)
        torch.testing.assert_close(network(x.to(memory_format=layout)), expected)


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_u_net_answers_in_the_type_that_it_was_made(spatial_dims, dtype, generator):
    network = _network("linear", spatial_dims, generator).to(dtype)
    with torch.no_grad():
        logits = network(torch.rand(1, 1, *(9, 33, 40)[-spatial_dims:]).to(dtype))
    assert logits.dtype == dtype
    assert logits.isfinite().all()


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_networks_compile_whole_and_export(spatial_dims):
    # In a process of its own: the compiler cannot trace the shape checks of these tests.
    program = f"""
import torch
from tomolift.models import DilatedResNet18, UNet
for network in (
    DilatedResNet18(3, spatial_dims={spatial_dims}),
    UNet(3, spatial_dims={spatial_dims}, decoder_channels={NARROW}),
    UNet(3, spatial_dims={spatial_dims}, decoder_channels={NARROW}, upsampling="transposed"),
):
    network.eval()
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    with torch.no_grad():
        for channels in (1, 3):
            x = torch.rand(1, channels, *(9, 33, 40)[-{spatial_dims}:])
            torch.testing.assert_close(compiled(x), network(x))
        exported = torch.export.export(network, (x,)).module()
        torch.testing.assert_close(exported(x), network(x))
"""
    subprocess.run([sys.executable, "-c", program], check=True)
