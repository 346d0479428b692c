"""What one call costs where there is next to nothing to compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from losses.problem import Problem
from losses.races import race
from losses.sizes import Sizes
from measuring.race import Contender
from measuring.result import duration, speed_up
from torch.nn import functional as F

from tomolift.ops import upsampled_cross_entropy, voxel_cross_entropy

Keep = Callable[..., None]


def test_forward_and_backward_of_a_tiny_volume(sizes: Sizes, keep: Keep) -> None:
    problem = Problem(sizes.small)
    logits, indices = problem.values.clone().requires_grad_(), problem.labels.long()

    def ours() -> None:
        torch.autograd.grad(voxel_cross_entropy(logits, problem.labels)[0], logits)

    def upsampled() -> None:
        torch.autograd.grad(upsampled_cross_entropy(logits, problem.labels)[0], logits)

    def eager() -> None:
        torch.autograd.grad(F.cross_entropy(logits, indices), logits)

    calls = {"ours": ours, "upsampled": upsampled, "eager": eager}
    contenders = {
        name: Contender(lambda: None, repeated(call, sizes.calls)) for name, call in calls.items()
    }
    seconds = race(contenders, rounds=sizes.rounds)
    times = {name: [each / sizes.calls for each in found] for name, found in seconds.items()}
    keep(
        times,
        group=problem.describe(),
        metrics={
            "tiny input, forward + backward": duration(times),
            "tiny input, times eager": speed_up(times, "eager"),
            "tiny input, up-sampled, forward + backward": duration(times, of="upsampled"),
        },
        calls_a_round=sizes.calls,
    )


def repeated(call: Callable[[], None], times: int) -> Callable[[Any], None]:
    def step(_: Any) -> None:
        for _turn in range(times):
            call()

    return step
