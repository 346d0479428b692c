"""Runs a module of this folder in a process of its own and reads the JSON it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent


def run_module(name: str, *arguments: str, **variables: str) -> dict[str, Any]:
    """The last line that `python -m measuring.NAME ARGUMENTS` prints, with more in its environment.

    Raises:
        RuntimeError: it failed; the message holds its last line.
    """
    done = subprocess.run(
        [sys.executable, "-m", f"measuring.{name}", *arguments],
        cwd=FOLDER,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise RuntimeError(f"measuring.{name} ended with {done.returncode}: {last}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
