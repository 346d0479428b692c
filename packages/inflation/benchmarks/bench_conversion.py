"""Lifting a network: CPU time, against the usual recipe and against copying the result."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
from lifting import recipe
from lifting.agreement import check_constant_volume
from lifting.networks import NETWORKS, millions, network
from lifting.races import race
from lifting.sizes import Sizes
from measuring.result import cost, longer_duration, speed_up

from tomolift.inflation import inflate, inflate_state_dict

Keep = Callable[..., None]


@pytest.mark.parametrize("name", NETWORKS)
def test_conversion(name: str, sizes: Sizes, keep: Keep) -> None:
    """By module, its dry run included; its tensors alone, for a network that is there."""
    net2d = network(name)
    net3d = inflate(net2d)
    error = check_constant_volume(net2d, net3d, depth=sizes.check_depth, side=sizes.check_side)
    state = net2d.state_dict()
    times = race(
        {
            "ours": lambda: inflate(net2d),
            "tensors": lambda: inflate_state_dict(state, like=net3d),
            "recipe": lambda: recipe.lift(net2d),
            "copy": lambda: copy.deepcopy(net3d),
        },
        rounds=sizes.rounds,
    )
    keep(
        times,
        group=f"{name}, {millions(net2d)} parameters in 2D, {millions(net3d)} in 3D, float32",
        metrics={
            f"{name}, conversion": longer_duration(times),
            f"{name}, conversion of its tensors": longer_duration(times, of="tensors"),
            f"{name}, times the usual recipe": speed_up(times, "recipe"),
            f"{name}, conversion / a copy of the result": cost(times, "copy"),
        },
        note=f"constant volume: every slice within {error:.1e}",
    )
