"""The suites of benchmarks run, and what they leave is what their targets ask for."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
# The compiled peers alone take half a minute to compile.
COMPILED = "dense in place, times compiled + confusion"
# What names of metrics have at tiny sizes, and at full ones.
TINY_OPS = {"8x32x32": "70x512x512"}
TINY_DATA = {"8 slices": "70 slices", "16 slices": "350 slices", "4 volumes": "281 volumes"}


def run(suite: str, folder: Path, *more: str) -> list[dict[str, Any]]:
    """The cases that a suite leaves at tiny sizes."""
    finished = folder / "finished.json"
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-o", "python_files=bench_*.py",
            "--sizes=tiny", "--threads=1", "-p", "no:cacheprovider", *more,
            f"--benchmark-json={finished}", f"packages/{suite}/benchmarks",
        ],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    document = json.loads(finished.read_text())
    assert document["machine_info"]["tomolift"]["suite"] == suite
    cases: list[dict[str, Any]] = document["benchmarks"]
    for case in cases:
        ours_us = case["extra_info"]["medians_us"]["ours"]
        assert 1e6 * case["stats"]["median"] == pytest.approx(ours_us, rel=1e-6)
    return cases


def units_of(cases: list[dict[str, Any]], full_names: Mapping[str, str]) -> dict[str, str]:
    """The unit of every figure by its name at full sizes."""
    units = {}
    for case in cases:
        for name, metric in case["extra_info"]["metrics"].items():
            for tiny, full in full_names.items():
                name = name.replace(f" {tiny}", f" {full}")
            units[name] = metric["unit"]
    return units


def targets_of(suite: str) -> list[dict[str, Any]]:
    path = ROOT / "packages" / suite / "benchmarks" / "targets.toml"
    targets: list[dict[str, Any]] = tomllib.loads(path.read_text())["target"]
    return targets


@pytest.mark.slow
def test_the_suite_of_ops_measures_every_target_of_the_cpu_at_tiny_sizes(tmp_path: Path) -> None:
    measured = units_of(run("ops", tmp_path, "-k", "not compiled"), TINY_OPS)
    targets = [target for target in targets_of("ops") if target.get("on") != "H200"]
    wanted = {target["metric"]: target["unit"] for target in targets}
    del wanted[COMPILED]
    assert wanted.items() <= measured.items()


@pytest.mark.slow
def test_the_suite_of_data_measures_every_target_or_says_why_not_at_tiny_sizes(
    tmp_path: Path,
) -> None:
    cases = run("data", tmp_path)
    measured = units_of(cases, TINY_DATA)
    reasons: dict[str, str] = {}
    for case in cases:
        reasons |= case["extra_info"].get("not_run", {})
    assert set(reasons.values()) <= {"blosc2 is not installed"}
    for target in targets_of("data"):
        name = target["metric"]
        assert name in reasons or measured.get(name) == target["unit"], name
    assert not set(reasons) & set(measured)


@pytest.mark.slow
def test_the_suite_of_inflation_measures_every_target_at_tiny_sizes(tmp_path: Path) -> None:
    measured = units_of(run("inflation", tmp_path), {})
    wanted = {target["metric"]: target["unit"] for target in targets_of("inflation")}
    assert wanted.items() <= measured.items()
