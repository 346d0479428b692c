"""The dense op, float32 logits and uint8 labels, against eager and compiled torch and a copy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from losses import steps
from losses.compiled import best_compiled
from losses.problem import Problem
from losses.races import race, run_module
from losses.sizes import Sizes
from measuring.race import Contender
from measuring.result import bandwidth, cost, memory, speed_up
from torch.nn import functional as F

from tomolift.ops import voxel_cross_entropy

Keep = Callable[..., None]


def test_in_place_against_copy_and_eager(sizes: Sizes, threads: int, keep: Keep) -> None:
    problem = Problem(sizes.dense)
    contenders = {
        "ours": steps.ours(problem, memory="inplace"),
        "copy": steps.copy(problem),
        "eager": steps.eager(problem),
        "eager with confusion": steps.eager_with_confusion(problem),
    }
    metrics = steps.torchmetrics_confusion(problem, rounds=sizes.slow_rounds)
    if metrics is not None:
        contenders["torchmetrics confusion"] = metrics
    times = race(contenders, rounds=sizes.rounds)
    extra = {
        case: run_module("losses.extra_memory", case, sizes.name, str(threads))["extra_bytes"]
        for case in ("in-place", "eager", "eager-with-confusion")
    }
    ratios = {
        "dense in place / copy_": cost(times, "copy"),
        "dense in place, times eager": speed_up(times, "eager"),
        "dense in place, times eager + confusion": speed_up(times, "eager with confusion"),
        "dense in place, extra memory": memory(extra["in-place"]),
    }
    if metrics is not None:
        ratios["dense in place, times torchmetrics' confusion alone"] = speed_up(
            times, "torchmetrics confusion"
        )
    keep(
        times,
        group=problem.describe(),
        metrics=ratios,
        **bandwidth(times, moved=problem.bytes_of_step(), copied=2 * problem.values.nbytes),
        extra_bytes=extra,
        torchmetrics="not installed" if metrics is None else "raced",
    )


@pytest.mark.filterwarnings("ignore")  # the compiler warns of its own doings
def test_in_place_against_the_best_compiled(sizes: Sizes, keep: Keep) -> None:
    problem = Problem(sizes.dense)
    fastest, tried = best_compiled(problem)
    contenders = {"ours": steps.ours(problem, memory="inplace"), "compiled": fastest}
    times = race(contenders, rounds=sizes.rounds)
    keep(
        times,
        group=problem.describe(),
        metrics={"dense in place, times compiled + confusion": speed_up(times, "compiled")},
        formulations_us=tried,
    )


def test_memory_modes_against_eager(sizes: Sizes, threads: int, keep: Keep) -> None:
    problem = Problem(sizes.dense)
    contenders = {
        "ours": steps.ours(problem),
        "recompute": steps.ours(problem, memory="recompute"),
        "eager": steps.eager(problem),
    }
    times = race(contenders, rounds=sizes.rounds)
    extra = {
        case: run_module("losses.extra_memory", case, sizes.name, str(threads))["extra_bytes"]
        for case in ("fresh-gradient", "recompute")
    }
    keep(
        times,
        group=problem.describe(),
        metrics={
            "dense, fresh gradient, times eager": speed_up(times, "eager"),
            "dense, recomputed gradient, times eager": speed_up(times, "eager", of="recompute"),
        },
        extra_bytes=extra,
    )


def test_weight_and_smoothing_over_plain(sizes: Sizes, keep: Keep) -> None:
    problem = Problem(sizes.dense)
    options: dict[str, Any] = {"weight": torch.tensor([0.1, 1.0, 3.0]), "label_smoothing": 0.1}
    contenders = {
        "ours": steps.ours(problem, memory="inplace", **options),
        "eager": steps.eager(problem, **options),
        "plain": replace(steps.ours(problem, memory="inplace"), computes="the plain cross-entropy"),
    }
    times = race(contenders, rounds=sizes.rounds)
    keep(
        times,
        group=problem.describe(),
        metrics={
            "dense in place, weight + smoothing / plain": cost(times, "plain"),
            "dense in place, weight + smoothing, times eager": speed_up(times, "eager"),
        },
    )


def test_forward_alone_against_eager(sizes: Sizes, keep: Keep) -> None:
    problem = Problem(sizes.dense)
    indices = problem.labels.long()
    contenders = {
        "ours": Contender(
            problem.inputs, lambda logits: voxel_cross_entropy(logits, problem.labels)
        ),
        "copy": steps.copy(problem),
        "eager": Contender(problem.inputs, lambda logits: (F.cross_entropy(logits, indices), None)),
    }
    times = race(contenders, rounds=sizes.rounds)
    moved = problem.values.nbytes + problem.labels.nbytes
    keep(
        times,
        group=problem.describe(),
        metrics={"dense forward alone, times eager forward": speed_up(times, "eager")},
        **bandwidth(times, moved=moved, copied=2 * problem.values.nbytes),
    )
