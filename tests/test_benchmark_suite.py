"""The benchmarks of ops run, and what they leave is what the targets ask for."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "packages" / "ops" / "benchmarks"
# The compiled peers alone take half a minute to compile.
COMPILED = "dense in place, times compiled + confusion"
WIDEST = {"tiny": "8x32x32", "full": "70x512x512"}


@pytest.mark.slow
def test_the_suite_measures_every_target_of_the_cpu_at_tiny_sizes(tmp_path: Path) -> None:
    finished = tmp_path / "finished.json"
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-o", "python_files=bench_*.py",
            "--sizes=tiny", "--threads=1", "-k", "not compiled", "-p", "no:cacheprovider",
            f"--benchmark-json={finished}", str(BENCHMARKS),
        ],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    cases = json.loads(finished.read_text())["benchmarks"]
    for case in cases:
        ours_us = case["extra_info"]["medians_us"]["ours"]
        assert 1e6 * case["stats"]["median"] == pytest.approx(ours_us, rel=1e-6)
    measured = {
        name.replace(WIDEST["tiny"], WIDEST["full"]): metric["unit"]
        for case in cases
        for name, metric in case["extra_info"]["metrics"].items()
    }
    targets = tomllib.loads((BENCHMARKS / "targets.toml").read_text())["target"]
    wanted = {target["metric"]: target["unit"] for target in targets if target.get("on") != "H200"}
    del wanted[COMPILED]
    assert wanted.items() <= measured.items()
