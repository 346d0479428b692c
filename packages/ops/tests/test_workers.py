"""The ops in data-loading workers, forked and spawned, while their parent uses them as well."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LOAD_DATA = Path(__file__).parent / "processes" / "load_data.py"


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_and_their_parent_compute_the_same_bits(start: str) -> None:
    # a worker that waits for threads which it does not have would run out of time
    done = subprocess.run(
        [sys.executable, str(LOAD_DATA), start],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["the", "same"]
