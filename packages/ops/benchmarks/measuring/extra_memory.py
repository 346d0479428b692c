"""Peak memory of one step beyond what its inputs occupy, by the kernel's own count.

python -m measuring.extra_memory CASE SIZES THREADS prints {"extra_bytes": ...}. It needs a process
of its own, for memory that an earlier step has left to the allocator would hide what this one
takes. VmHWM, and not getrusage's ru_maxrss, which starts at the parent's size at exec; clear_refs
sets it back to the present size, so that drawing the inputs does not count.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import torch

from measuring import steps
from measuring.problem import Problem
from measuring.race import Contender
from measuring.sizes import SIZES, TINY, Sizes

RESET_PEAK = "5"  # proc(5), /proc/pid/clear_refs


def main(case: str, sizes_name: str, threads: str) -> None:
    torch.set_num_threads(int(threads))
    once(CASES[case](TINY))  # libraries load, threads start
    print(json.dumps({"extra_bytes": once(CASES[case](SIZES[sizes_name]))}))


def once(contender: Contender) -> int:
    """Bytes by which the resident size peaks during the step above where it was before."""
    given = contender.prepare()
    Path("/proc/self/clear_refs").write_text(RESET_PEAK, "ascii")
    before = resident("VmRSS")
    contender.step(given)
    return resident("VmHWM") - before


def resident(field: str) -> int:
    status = Path("/proc/self/status").read_text("ascii")
    found = re.search(rf"^{field}:\s*(\d+) kB$", status, re.M)
    if found is None:
        raise RuntimeError(f"/proc/self/status has no {field}: this needs Linux")
    return 1024 * int(found[1])


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
