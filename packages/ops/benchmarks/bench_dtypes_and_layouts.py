"""The dense op in place for other dtypes, layouts and labels, each against eager torch's same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from losses import steps
from losses.problem import CHANNELS_LAST, Problem
from losses.races import race
from losses.sizes import Sizes
from measuring.result import bandwidth, cost, speed_up

Keep = Callable[..., None]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("bfloat16", {"dtype": torch.bfloat16}),
        ("float16", {"dtype": torch.float16}),
        ("channels_last", {"layout": CHANNELS_LAST}),
        ("bfloat16 channels_last", {"dtype": torch.bfloat16, "layout": CHANNELS_LAST}),
    ],
    ids=["bfloat16", "float16", "channels_last", "bfloat16_channels_last"],
)
def test_volumes_against_eager(
    sizes: Sizes, keep: Keep, name: str, options: dict[str, Any]
) -> None:
    against_eager(Problem(sizes.variants, **options), f"dense {name} in place", sizes, keep)


def test_images_against_eager(sizes: Sizes, keep: Keep) -> None:
    against_eager(Problem(sizes.image), "dense 2D in place", sizes, keep)


def test_int64_labels_over_uint8(sizes: Sizes, keep: Keep) -> None:
    problem = Problem(sizes.variants)
    labels = problem.labels.long()
    contenders = {
        "ours": steps.ours(problem, labels=labels, memory="inplace"),
        "uint8": steps.ours(problem, memory="inplace"),
        "copy": steps.copy(problem),
    }
    times = race(contenders, rounds=sizes.rounds)
    moved = 2 * problem.values.nbytes + labels.nbytes
    keep(
        times,
        group=problem.describe(),
        metrics={"dense in place, int64 labels / uint8": cost(times, "uint8")},
        **bandwidth(times, moved=moved, copied=2 * problem.values.nbytes),
    )


def against_eager(problem: Problem, name: str, sizes: Sizes, keep: Keep) -> None:
    contenders = {
        "ours": steps.ours(problem, memory="inplace"),
        "copy": steps.copy(problem),
        "eager": steps.eager(problem),
    }
    times = race(contenders, rounds=sizes.rounds)
    keep(
        times,
        group=problem.describe(),
        metrics={
            f"{name} / copy_": cost(times, "copy"),
            f"{name}, times eager": speed_up(times, "eager"),
        },
        **bandwidth(times, moved=problem.bytes_of_step(), copied=2 * problem.values.nbytes),
    )
