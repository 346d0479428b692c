"""Build ops for this machine's GPU, test, time and sanitize it, and test data's feeders on it.

Leaves one JSON and one log.

python tools/gpu_check.py OUT_DIR [--budget-minutes 9]

Needs a CUDA device, nvcc, cmake, ninja, torch, pybind11, scikit-build-core, pytest and jaxtyping;
no network; the feeders also need nibabel and isal. The build goes to a temporary folder. A part
that did not run says "not run" and why.
Exit status: 0; 1 if a part failed (the build, a test, a sanitizer's report); 2 if none could run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from gpu_checking.check import Check
from gpu_checking.requirements import (
    DATA,
    OPS,
    NotRunError,
    describe_toolchain,
    find_device,
    marked,
    require,
)
from gpu_checking.verdicts import Part

SANITIZERS = ("memcheck", "racecheck", "initcheck")
UNBUILT = {"build", "feeders"}  # parts that need no build of ops


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out_dir", type=Path, help="receives gpu_check.json and gpu_check.log")
    parser.add_argument(
        "--budget-minutes", type=float, default=9.0, help="parts are skipped once it is spent"
    )
    options = parser.parse_args(arguments)
    ends = time.monotonic() + 60 * options.budget_minutes
    try:
        if not options.budget_minutes > 0:
            raise NotRunError(f"--budget-minutes is {options.budget_minutes}, expected more than 0")
        if options.out_dir.exists() and not options.out_dir.is_dir():
            raise NotRunError(f"OUT_DIR is {options.out_dir}, a file: name a folder")
        device = find_device()
        nvcc = require()
    except NotRunError as error:
        print(f"gpu_check: {error}", file=sys.stderr)
        return 2
    options.out_dir.mkdir(parents=True, exist_ok=True)
    machine = device | describe_toolchain(nvcc)
    with tempfile.TemporaryDirectory(prefix="tomolift-gpu-check-") as folder:
        check = Check(options.out_dir / "gpu_check.log", ends, Path(folder), nvcc)
        parts = plan(check, device["compute_capability"])
        return perform(parts, machine, options.out_dir / "gpu_check.json")


def plan(check: Check, capability: str) -> dict[str, Callable[[], Part]]:
    """Every part by name, in the order in which they run."""
    parts: dict[str, Callable[[], Part]] = {
        "build": partial(check.build, capability.replace(".", "")),
        "tests": partial(check.test, marked(OPS / "tests")),
        "timings": check.measure,
        "feeders": partial(check.test_feeders, marked(DATA / "tests")),
        "benchmarks": partial(check.benchmark, marked(OPS / "benchmarks")),
    }
    return parts | {tool: partial(check.sanitize, tool) for tool in SANITIZERS}


def perform(parts: dict[str, Callable[[], Part]], machine: Part, path: Path) -> int:
    """Run the parts, keep the report after each, print the table; the exit status."""
    done: dict[str, Part] = {}
    report = {"started": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine}
    for name, part in parts.items():
        start = time.monotonic()
        try:
            if name not in UNBUILT and done["build"]["status"] != "ran":
                raise NotRunError("ops was not built")
            done[name] = part()
        except NotRunError as why:
            done[name] = {"status": "not run", "why": str(why)}
        done[name]["seconds"] = round(time.monotonic() - start, 1)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(report | {"parts": done}, indent=2) + "\n", "utf-8")
        temporary.replace(path)
    print(f"{machine['device']}\n{table(done)}\n{path}")
    return int(any(part["status"] == "failed" for part in done.values()))


def table(parts: dict[str, Part]) -> str:
    """One line a part, with what matters most of it, and one line a timed case."""
    lines = []
    for name, part in parts.items():
        shown = ("passed", "failed", "skipped", "reports")
        words = [f"{part[key]} {key}" for key in shown if key in part]
        words += [part["why"]] if "why" in part else []
        lines.append(f"{name:<11}{part['status']:<8}{part['seconds']:7.1f} s  {', '.join(words)}")
        lines += [timed(case) for case in part.get("cases", []) if name == "timings"]
    return "\n".join(line.rstrip() for line in lines)


def timed(case: Part) -> str:
    """A case's time, and how many times as long the others take."""
    others = ", ".join(f"{name} {times:.2f}" for name, times in case["times_as_long"].items())
    return f"  {case['name']}: {case['medians_us']['ours']:.0f} us; times as long: {others}"


if __name__ == "__main__":
    sys.exit(main())
