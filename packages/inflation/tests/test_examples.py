"""The examples in the docstrings run, and the shapes in the annotations hold while they do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent


def test_the_docstrings_examples_run_with_all_shapes_checked() -> None:
    pytest.importorskip("beartype", reason="shape annotations are checked with beartype")
    hook = "--jaxtyping-packages=tomolift.inflation,beartype.beartype"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--doctest-modules",
        hook,
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run([*command, "src"], cwd=PACKAGE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_readme_runs_from_top_to_bottom() -> None:
    text = (PACKAGE / "README.md").read_text(encoding="utf-8")
    (snippet,) = (part.split("```")[0] for part in text.split("```python\n")[1:])
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shape, summary, contract = done.stdout.splitlines()
    assert shape == "torch.Size([1, 4, 8, 16, 16])"
    assert "contract constant_volume holds at every slice" in summary
    assert contract == "slicewise"
