"""The up-sampled ops, float32 logits and uint8 labels, against F.interpolate and eager torch."""

from __future__ import annotations

from collections.abc import Callable

from losses import steps
from losses.agreement import VOXELS_THAT_MAY_DIFFER
from losses.problem import Problem
from losses.races import race, run_module
from losses.sizes import Sizes
from measuring.race import Contender
from measuring.result import memory, speed_up
from torch import Tensor

from tomolift.ops import upsampled_argmax

Keep = Callable[..., None]


def test_against_interpolate_and_cross_entropy(sizes: Sizes, keep: Keep) -> None:
    low, full = sizes.upsampled
    problem = Problem(low, label_shape=full)
    times = race(against_eager(problem), rounds=sizes.rounds)
    name = f"up-sampled to {'x'.join(map(str, full))}, times eager"
    keep(times, group=problem.describe(), metrics={name: speed_up(times, "eager")})


def test_at_the_widest_size_with_extra_memory(sizes: Sizes, threads: int, keep: Keep) -> None:
    low, full = sizes.upsampled_wide
    problem = Problem(low, label_shape=full)
    times = race(against_eager(problem), rounds=sizes.rounds)
    extra = {
        case: run_module("losses.extra_memory", case, sizes.name, str(threads))["extra_bytes"]
        for case in ("upsampled", "upsampled-eager")
    }
    name = f"up-sampled to {'x'.join(map(str, full))}"
    keep(
        times,
        group=problem.describe(),
        metrics={
            f"{name}, times eager": speed_up(times, "eager"),
            f"{name}, extra memory": memory(extra["upsampled"]),
        },
        extra_bytes=extra,
    )


def test_predictions_against_interpolate_and_argmax(sizes: Sizes, keep: Keep) -> None:
    low, full = sizes.upsampled
    problem = Problem(low, label_shape=full)

    def ours(values: Tensor) -> Tensor:
        return upsampled_argmax(values, full)

    def eager(values: Tensor) -> Tensor:
        return steps.upsample(values, full).argmax(dim=1)

    differing = (ours(problem.values) != eager(problem.values)).sum()
    assert differing <= VOXELS_THAT_MAY_DIFFER * problem.labels.numel()
    contenders = {
        name: Contender(problem.inputs, step, computes=name)  # held against each other above
        for name, step in (("ours", ours), ("eager", eager))
    }
    times = race(contenders, rounds=sizes.rounds)
    name = f"up-sampled argmax to {'x'.join(map(str, full))}, times eager"
    keep(times, group=problem.describe(), metrics={name: speed_up(times, "eager")})


def against_eager(problem: Problem) -> dict[str, Contender]:
    return {"ours": steps.upsampled_ours(problem), "eager": steps.upsampled_eager(problem)}
