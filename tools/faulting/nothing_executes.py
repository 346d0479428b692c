"""Planted code does not run: pickles and other code in every slot, under an audit hook.

A fresh process reads a sound task and its cache once, so that whatever is imported late is there.
Then every payload is put into every file of both in turn, and everything that reads them reads.
After the first reading nothing may be executed, compiled, imported, unpickled or started. The
control, `pickle.loads` and `numpy.load(allow_pickle=True)`, must be caught by the same hook.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from faulting.outcome import Outcome

PROMISE = "pickles and other code planted in every file of a task or a cache: nothing executes"
TIMEOUT_SECONDS = 600.0
TOOLS = Path(__file__).parent.parent


def run(count: int, *, seed: int, scratch: Path) -> Outcome:
    """Plant no more than `count` payloads in each slot; `seed` is not used."""
    began = time.monotonic()
    command = [sys.executable, "-m", "faulting.planting", str(count), str(scratch)]
    done = subprocess.run(
        command, cwd=TOOLS, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS
    )
    if done.returncode:
        raise RuntimeError(f"the readers' process ended with {done.returncode}: {done.stderr}")
    told = json.loads(done.stdout)
    failures = tuple(told["failures"])
    if told["executions of the control"] < told["payloads of the control"]:
        failures += ("the hook did not see the control execute",)
    figures = {name: value for name, value in told.items() if name not in ("failures", "attempts")}
    seconds = time.monotonic() - began
    return Outcome("nothing-executes", PROMISE, told["attempts"], failures, figures, seconds)
