"""Runs a module of a benchmark suite in a process of its own and reads the JSON it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

TOOLS = Path(__file__).parent.parent


def run_module(folder: Path, name: str, *arguments: str, **variables: str) -> Any:
    """The last line that `python -m NAME ARGUMENTS` prints, with more in its environment.

    Args:
        folder: where the module's package lies; it finds `measuring`, too.
        name: the module's full name.
        arguments: what it is given.
        variables: set in its environment.

    Raises:
        RuntimeError: it failed; the message holds its last line.
    """
    path = os.pathsep.join(filter(None, [str(TOOLS), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", name, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise RuntimeError(f"{name} ended with {done.returncode}: {last}")
    return json.loads(done.stdout.splitlines()[-1])
