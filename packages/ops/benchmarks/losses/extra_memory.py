"""Peak memory of one step beyond what its inputs occupy, by the kernel's own count.

python -m losses.extra_memory CASE SIZES THREADS prints {"extra_bytes": ...}. It needs a process of
its own, for memory that an earlier step has left to the allocator would hide what this one takes.
"""

from __future__ import annotations

import json
import sys

import torch
from measuring.race import Contender
from measuring.resident_memory import extra_peak

from losses import steps
from losses.problem import Problem
from losses.sizes import SIZES, TINY, Sizes


def main(case: str, sizes_name: str, threads: str) -> None:
    torch.set_num_threads(int(threads))
    once(CASES[case](TINY))  # libraries load, threads start
    print(json.dumps({"extra_bytes": once(CASES[case](SIZES[sizes_name]))}))


def once(contender: Contender) -> int:
    """Bytes that the step takes beyond what was prepared for it."""
    given = contender.prepare()
    return extra_peak(lambda: contender.step(given))


def upsampled_problem(sizes: Sizes) -> Problem:
    low, full = sizes.upsampled_wide
    return Problem(low, label_shape=full)


CASES = {
    "in-place": lambda sizes: steps.ours(Problem(sizes.dense), memory="inplace"),
    "fresh-gradient": lambda sizes: steps.ours(Problem(sizes.dense), memory="store"),
    "recompute": lambda sizes: steps.ours(Problem(sizes.dense), memory="recompute"),
    "eager": lambda sizes: steps.eager(Problem(sizes.dense)),
    "eager-with-confusion": lambda sizes: steps.eager_with_confusion(Problem(sizes.dense)),
    "upsampled": lambda sizes: steps.upsampled_ours(upsampled_problem(sizes)),
    "upsampled-eager": lambda sizes: steps.upsampled_eager(upsampled_problem(sizes)),
}

if __name__ == "__main__":
    main(*sys.argv[1:])
