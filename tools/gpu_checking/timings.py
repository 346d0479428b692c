"""Times both ops on CUDA beside eager and compiled torch and a copy; prints one line of JSON.

The race is the benchmarks' own, which needs nothing but torch: events, random turns, an emptied L2
cache, and every contender held against the others' results before it is timed.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "packages" / "ops" / "benchmarks"))

from losses import steps
from losses.compiled import best_compiled
from losses.problem import Problem
from losses.races import race_on_device
from measuring.device_race import extra_device_memory
from measuring.race import Contender, Times

DENSE = (2, 3, 70, 512, 512)
LOW, FULL = (3, 9, 64, 64), (70, 512, 512)
BUFFERS = 3
ROUNDS = 21
FREE_BYTES = 12 * 2**30  # eager float32 keeps and makes several copies of its 440 MB of logits

Case = dict[str, Any]


def main() -> None:
    free, _ = torch.cuda.mem_get_info()
    if free < FREE_BYTES:
        why = f"{free / 2**30:.1f} GiB are free on the device, {FREE_BYTES / 2**30:.0f} are needed"
        print(json.dumps({"status": "not run", "why": why}))
        return
    cache = torch.cuda.get_device_properties().L2_cache_size
    print(json.dumps({"l2_bytes": cache, **perform(plan())}))


def plan() -> dict[str, Callable[[], Case]]:
    """Every case by name."""
    cases: dict[str, Callable[[], Case]] = {
        "dense float32": lambda: dense(DENSE, torch.float32),
        "dense bfloat16": lambda: dense(DENSE, torch.bfloat16),
        "up-sampled, batch of 1": lambda: upsampled((1, *LOW), FULL),
        "up-sampled, batch of 2": lambda: upsampled((2, *LOW), FULL),
    }
    if find_spec("triton") is not None:  # which torch.compile needs on CUDA
        cases["dense float32 beside torch.compile"] = lambda: dense_compiled(DENSE)
    return cases


def perform(cases: Mapping[str, Callable[[], Case]]) -> Case:
    """Run every case, also behind one that fails, whose error is kept."""
    done: list[Case] = []
    failures = []
    for name, case in cases.items():
        try:
            done.append({"name": name, **case()})
        except Exception as error:  # whatever it is, the other cases count
            failures.append(f"{name}: {type(error).__name__}: {str(error).partition(chr(10))[0]}")
    if failures:
        return {"status": "failed", "why": "; ".join(failures), "cases": done}
    return {"status": "ran", "cases": done}


def dense(shape: tuple[int, ...], dtype: torch.dtype) -> Case:
    problem = Problem(shape, dtype=dtype, device="cuda", buffers=BUFFERS)
    contenders = dense_contenders(problem)
    times = race_on_device(contenders, rounds=ROUNDS)
    copied = 2 * problem.values.nbytes
    return {
        **summarise(times),
        **bandwidth(times, moved=problem.bytes_of_step(), copied=copied),
        "extra_bytes": extra_bytes(contenders),
    }


def dense_compiled(shape: tuple[int, ...]) -> Case:
    problem = Problem(shape, device="cuda", buffers=BUFFERS)
    fastest, _ = best_compiled(problem, timed_by=race_on_device)
    contenders = {"ours": steps.ours(problem), "compiled with confusion": fastest}
    return summarise(race_on_device(contenders, rounds=ROUNDS))


def upsampled(low: tuple[int, ...], size: tuple[int, ...]) -> Case:
    problem = Problem(low, label_shape=size, device="cuda")
    contenders = upsampled_contenders(problem)
    times = race_on_device(contenders, rounds=ROUNDS)
    return {**summarise(times), "extra_bytes": extra_bytes(contenders)}


def dense_contenders(problem: Problem) -> dict[str, Contender]:
    contenders = {
        "ours": steps.ours(problem),
        "ours in place": steps.ours(problem, memory="inplace"),
        "copy": steps.copy(problem),
        "eager": steps.eager(problem),
    }
    if problem.values.dtype == torch.float32:  # else its rounded loss is not ours
        contenders["eager with confusion"] = steps.eager_with_confusion(problem)
    return contenders


def upsampled_contenders(problem: Problem) -> dict[str, Contender]:
    return {"ours": steps.upsampled_ours(problem), "eager": steps.upsampled_eager(problem)}


def extra_bytes(contenders: Mapping[str, Contender]) -> dict[str, int]:
    return {name: extra_device_memory(contender) for name, contender in contenders.items()}


def summarise(times: Times) -> Case:
    """Medians in microseconds, and how many times as long as ours the others take."""
    medians = {name: statistics.median(found) for name, found in times.items()}
    return {
        "rounds": len(times["ours"]),
        "medians_us": {name: round(1e6 * value, 1) for name, value in medians.items()},
        "times_as_long": {
            name: round(value / medians["ours"], 3)
            for name, value in medians.items()
            if name != "ours"
        },
    }


def bandwidth(times: Times, *, moved: int, copied: int) -> Case:
    """The least traffic, in bytes, as a share of what the copy reaches."""
    reached = copied / statistics.median(times["copy"])
    return {
        "bytes_moved_at_least": moved,
        "copy_gb_per_s": round(reached / 1e9, 1),
        "share_of_copy_bandwidth": round(moved / statistics.median(times["ours"]) / reached, 3),
    }


if __name__ == "__main__":
    main()
