"""Examples in docstrings and in the README run, and annotations hold for the calls made here."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped

from tomolift import ops

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.parametrize(
    "module", ["_argmax", "_confusion", "_dense", "_native", "_upsampled", "reference"]
)
def test_the_docstrings_examples_are_right(module: str) -> None:
    result = doctest.testmod(import_module(f"tomolift.ops.{module}"))
    assert result.attempted > 0
    assert result.failed == 0


def test_the_readmes_snippet_runs_by_itself() -> None:
    snippets = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(snippets) == 1
    command = [sys.executable, "-W", "error", "-c", snippets[0]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", [ops, ops.reference])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_annotated_shapes_hold(module: Any, reduction: str) -> None:
    dense = jaxtyped(typechecker=beartype)(module.voxel_cross_entropy)
    labels = torch.zeros(2, 4, 6, 8, dtype=torch.uint8)
    dense(torch.zeros(2, 3, 4, 6, 8), labels, weight=torch.ones(3), reduction=reduction)
    upsampled = jaxtyped(typechecker=beartype)(module.upsampled_cross_entropy)
    upsampled(torch.zeros(2, 3, 2, 3, 4), labels, stride=(2, 2, 2), reduction=reduction)
    argmax = jaxtyped(typechecker=beartype)(module.upsampled_argmax)
    argmax(torch.zeros(2, 3, 2, 3, 4), (4, 6, 8))
