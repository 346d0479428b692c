"""The dense op in place beside eager torch and a copy, under the TOMOLIFT_CPU_ISA of this process.

python -m losses.forced_isa SIZES THREADS prints the seconds of every round as JSON.
"""

from __future__ import annotations

import json
import sys

import torch

from losses import steps
from losses.problem import Problem
from losses.races import race
from losses.sizes import SIZES
from tomolift.ops import build_info


def main(sizes_name: str, threads: str) -> None:
    torch.set_num_threads(int(threads))
    sizes = SIZES[sizes_name]
    problem = Problem(sizes.dense)
    contenders = {
        "ours": steps.ours(problem, memory="inplace"),
        "copy": steps.copy(problem),
        "eager": steps.eager(problem),
    }
    times = race(contenders, rounds=sizes.rounds)
    print(json.dumps({"isa": build_info()["cpu_isa"], "times": times}))


if __name__ == "__main__":
    main(*sys.argv[1:])
