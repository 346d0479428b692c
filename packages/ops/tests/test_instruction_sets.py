"""Every instruction set that this processor has, in processes that are told to use it.

The tests of values run again there: the widest set, which they run with anyway, is left out.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tomolift.ops import build_info

FOLDER = Path(__file__).parent
# what the instruction sets' own code computes: values, tails, conversions, edges
FILES = (
    "test_conversions.py",
    "test_drawn_problems.py",
    "test_edges.py",
    "test_equalities.py",
    "test_magnitudes.py",
)
NARROWER = {"baseline": ("avx2", "avx512"), "avx2": ("avx512",)}


def run(isa: str, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "TOMOLIFT_CPU_ISA": isa},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def ask(isa: str) -> subprocess.CompletedProcess[str]:
    return run(isa, "-c", "from tomolift.ops import build_info; print(build_info()['cpu_isa'])")


@pytest.mark.slow
@pytest.mark.parametrize("isa", NARROWER)
def test_a_narrower_instruction_set_passes_the_tests_of_values(isa: str) -> None:
    if build_info()["cpu_isa"] not in NARROWER[isa]:
        pytest.skip(f"this processor has nothing wider than {isa}, if that")
    assert ask(isa).stdout.strip() == isa
    files = [str(FOLDER / name) for name in FILES]
    done = run(isa, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout


def test_the_widest_instruction_set_is_the_default() -> None:
    if "TOMOLIFT_CPU_ISA" in os.environ:
        pytest.skip("TOMOLIFT_CPU_ISA asks for another one")
    built = build_info()["cpu_isas"]
    assert isinstance(built, list)
    has = [isa for isa in built if ask(isa).returncode == 0]
    assert build_info()["cpu_isa"] == has[-1]


def test_an_unknown_instruction_set_is_named() -> None:
    message = "ValueError: TOMOLIFT_CPU_ISA is 'avx9000', expected baseline, avx2"
    assert message in ask("avx9000").stderr
