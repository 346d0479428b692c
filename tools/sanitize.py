"""Run the C++ core's own tests, without Python, under the compiler's sanitizers.

`python tools/sanitize.py` prints one line a build and exits with 1 if a test fails, if a sanitizer
reports anything in the tests, or if it misses a bug planted for it (csrc/tests/planted_bug.cpp).
Where the compiler or the system cannot run a sanitizer, its line says "not run" and why.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "csrc"
# The tools of the environment that runs this file come before the system's.
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
ISAS = ("baseline", "avx2", "avx512")
PER_ISA = "every_instruction_set"  # CMake's label of the tests that each of them can fail
NO_SUCH_ISA = "TOMOLIFT_CPU_ISA is"  # how the core refuses one that the processor lacks
REPORT = re.compile(r"runtime error: |(?:ERROR|WARNING|FATAL): \w+Sanitizer")
TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Sanitizer:
    """One build: the compiler's word for it and, by bug, the words of the report it must give."""

    name: str
    flag: str
    environment: dict[str, str]
    planted: dict[str, str]


SANITIZERS = (
    Sanitizer(
        name="asan+ubsan",
        flag="-fsanitize=address,undefined",
        environment={"UBSAN_OPTIONS": "print_stacktrace=1"},
        planted={
            "heap_read": r"heap-buffer-overflow(?s:.*)READ of size 4",
            "heap_write": r"heap-buffer-overflow(?s:.*)WRITE of size 4",
            # a vector that is only partly outside is an unknown crash
            "op_read": r"(?:heap-buffer-overflow|unknown-crash)(?s:.*)READ of size",
            "cuda_read": r"heap-buffer-overflow(?s:.*)READ of size(?s:.*)run_tiles",
            "piece_write": r"use-after-poison(?s:.*)WRITE of size 4",
            "overflow": "runtime error: signed integer overflow",
            "misaligned": "runtime error: load of misaligned address",
        },
    ),
    Sanitizer(
        name="tsan",
        flag="-fsanitize=thread",
        # the pool's test forks a child that starts threads, which TSan refuses by default
        environment={"TSAN_OPTIONS": "die_after_fork=0"},
        planted={
            "race": "WARNING: ThreadSanitizer: data race",
            "cuda_race": "WARNING: ThreadSanitizer: data race(?s:.*)read_a_neighbour",
        },
    ),
)


@dataclass(frozen=True)
class Ran:
    """A finished command: its exit status, None when it ran out of time, and all it printed."""

    status: int | None
    output: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    names = [sanitizer.name for sanitizer in SANITIZERS]
    parser.add_argument("--only", choices=names, help="one of the builds instead of all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="compilers at once")
    arguments = parser.parse_args()
    if shutil.which("cmake", path=PATH) is None:
        raise SystemExit("no cmake on PATH, expected 3.25 or later: run `nox -s dev`")
    clean = True
    for sanitizer in SANITIZERS:
        if arguments.only in (None, sanitizer.name):
            with tempfile.TemporaryDirectory(prefix="tomolift-sanitize-") as folder:
                clean &= sanitize(sanitizer, Path(folder), jobs=arguments.jobs)
    raise SystemExit(0 if clean else 1)


def sanitize(sanitizer: Sanitizer, folder: Path, *, jobs: int) -> bool:
    """Build, run the tests and the planted bugs, print the line; whether all is as it should be."""
    began = time.monotonic()
    missing = why_not(sanitizer, folder)
    if missing:
        print(f"{sanitizer.name}: not run: {missing}", flush=True)
        return True
    build(sanitizer, folder, jobs=jobs)
    runs, reports, failures = 0, 0, 0
    isas = []
    for isa in ISAS:
        done = run_tests(sanitizer, folder, isa, first=not isas)
        if any(NO_SUCH_ISA in ran.output for ran in done.values()):
            continue
        isas.append(isa)
        for name, ran in done.items():
            found = len(REPORT.findall(ran.output))
            runs, reports, failures = runs + 1, reports + found, failures + (ran.status != 0)
            if found or ran.status != 0:
                print(f"{name} ({isa}) ended with {ran.status}:\n{ran.output}", file=sys.stderr)
    missed = [bug for bug in sanitizer.planted if not finds(sanitizer, folder, bug)]
    bugs = f"planted bugs missed: {', '.join(missed)}"
    if not missed:
        bugs = f"planted bugs found: {', '.join(sanitizer.planted)}"
    print(
        f"{sanitizer.name}: {reports} reports and {failures} failures in {runs} tests"
        f" ({', '.join(isas)}); {bugs}; {time.monotonic() - began:.0f} s",
        flush=True,
    )
    return runs > 0 and reports == 0 and failures == 0 and not missed


def why_not(sanitizer: Sanitizer, folder: Path) -> str:
    """Why this compiler and system cannot run the sanitizer; empty when they can."""
    program = folder / "probe"
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    command = [*compiler, sanitizer.flag, "-x", "c++", "-", "-o", str(program)]
    if run(command, text="int main() {}").status != 0:
        return f"{shlex.join(compiler)} cannot build with {sanitizer.flag}"
    started = run([str(program)])
    if started.status != 0:
        return f"a program built with {sanitizer.flag} does not start: {started.output.strip()}"
    return ""


def build(sanitizer: Sanitizer, folder: Path, *, jobs: int) -> None:
    options = ["TESTS=ON", "PLANTED_BUG=ON", "PYTHON=OFF", "CUDA=OFF"]
    # -O1 takes GCC 12 eight times as long over the vector code, once it is instrumented
    flags = f"-O0 -g {sanitizer.flag}"
    generator = ["-G", "Ninja"] if shutil.which("ninja", path=PATH) else []
    for command in (
        ["cmake", "-S", str(SOURCE), "-B", str(folder), *generator]
        + [f"-DTOMOLIFT_{option}" for option in options]
        # a build type of CMake's own would add its options to these
        + ["-DCMAKE_BUILD_TYPE=None", f"-DCMAKE_CXX_FLAGS={flags}"],
        ["cmake", "--build", str(folder), "--parallel", str(jobs)],
    ):
        ran = run(command, timeout=10 * TIMEOUT_SECONDS)
        if ran.status != 0:
            raise SystemExit(f"{sanitizer.name}: {shlex.join(command)} failed:\n{ran.output}")


def run_tests(sanitizer: Sanitizer, folder: Path, isa: str, *, first: bool) -> dict[str, Ran]:
    """The tests that CMake labels so or, the first time, every one; by name."""
    listed = run(["ctest", "--test-dir", str(folder), "--show-only=json-v1"])
    environment = {**sanitizer.environment, "TOMOLIFT_CPU_ISA": isa}
    tests = [
        test
        for test in json.loads(listed.output)["tests"]
        if first or {"name": "LABELS", "value": [PER_ISA]} in test["properties"]
    ]
    return {test["name"]: run(test["command"], environment=environment) for test in tests}


def finds(sanitizer: Sanitizer, folder: Path, bug: str) -> bool:
    ran = run([str(folder / "planted_bug"), bug], environment=sanitizer.environment)
    return re.search(sanitizer.planted[bug], ran.output) is not None


def run(
    command: list[str],
    *,
    environment: dict[str, str] | None = None,
    text: str = "",
    timeout: float = TIMEOUT_SECONDS,
) -> Ran:
    try:
        done = subprocess.run(
            [shutil.which(command[0], path=PATH) or command[0], *command[1:]],
            env={**os.environ, "PATH": PATH, **(environment or {})},
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=timeout,
        )
    except FileNotFoundError:
        return Ran(127, f"there is no {command[0]} on PATH")
    except subprocess.TimeoutExpired as late:
        return Ran(None, f"still running after {late.timeout:.0f} s")
    return Ran(done.returncode, done.stdout)


if __name__ == "__main__":
    main()
