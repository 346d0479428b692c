"""A forward pass of the lifted network: what exact ends cost."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from lifting.agreement import check_constant_volume
from lifting.networks import NETWORKS, network
from lifting.races import race
from lifting.sizes import Sizes
from measuring.result import cost

from tomolift.inflation import inflate

Keep = Callable[..., None]


@torch.no_grad()
@pytest.mark.parametrize("name", NETWORKS)
def test_forward_of_replicate_against_zeros(name: str, sizes: Sizes, keep: Keep) -> None:
    """The same filters: depth padded by repeating the end slices, or with zeros."""
    net2d = network(name)
    exact, plain = inflate(net2d), inflate(net2d, depth_padding="zeros")
    error = check_constant_volume(net2d, exact, depth=sizes.check_depth, side=sizes.check_side)
    volume = torch.randn(sizes.volume, generator=torch.Generator().manual_seed(0))
    assert exact(volume).shape == plain(volume).shape
    times = race(
        {"ours": lambda: exact(volume), "zeros": lambda: plain(volume)},
        rounds=sizes.forward_rounds,
    )
    keep(
        times,
        group=f"{name}, {'x'.join(map(str, sizes.volume))} float32",
        metrics={f"{name}, forward with replicate / zeros": cost(times, "zeros")},
        note=f"replicate: every slice of a constant volume within {error:.1e}",
    )
