"""Where a voxel reads the low-resolution logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tomolift import ops
from tomolift.models import DilatedResNet18
from tomolift.training._sampling import sampling_stride


class Strided(torch.nn.Module):
    """Nothing but an output stride."""

    def __init__(self, *output_stride: int) -> None:
        super().__init__()
        self.output_stride = output_stride


def test_corners_need_no_stride() -> None:
    assert sampling_stride(Strided(8, 8), (32, 32), zoom=1, sampling="corners") is None


def test_without_magnification_the_stride_is_the_networks() -> None:
    network = DilatedResNet18(2, spatial_dims=3, depth_stride=1)
    stride = sampling_stride(network, (16, 32, 32), zoom=1, sampling="stride")
    assert stride == (1, 8, 8)


@pytest.mark.parametrize("zoom", [1.0, 2.0, 1.5])
def test_a_voxel_reads_what_was_computed_at_its_own_place(zoom: float) -> None:
    """Low-resolution values that are their own positions come back as the voxels' positions."""
    length, step = 41, 4
    magnified = round(length * zoom)
    positions = np.linspace(0, magnified - 1, length)  # of the voxels, align_corners=True
    cells = -(-magnified // step)
    low = torch.arange(cells, dtype=torch.float64).mul(step).reshape(1, 1, 1, cells)
    stride = sampling_stride(Strided(1, step), (1, length), zoom=zoom, sampling="stride")
    assert stride is not None
    result = ops.reference.upsample(low, (1, length), stride=stride)[0, 0, 0]
    expected = np.minimum(positions, (cells - 1) * step)
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-12)


def test_a_single_slice_reads_the_only_logit() -> None:
    stride = sampling_stride(Strided(8, 8, 8), (1, 32, 32), zoom=2, sampling="stride")
    assert stride is not None
    assert stride[0] == 8
