"""Small files that ask for much memory are refused before they get it.

Each bomb is met in a process of its own, by everything that reads such a file. What is measured is
how far the resident set rises over what it was before, the imports and a sound file of the same
kind behind it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from faulting.bomb_shapes import BOMBS
from faulting.outcome import Outcome

PROMISE = "bombs are refused with a code while the resident set rises by less than 8 MB"
MOST_MEGABYTES = 8.0
TIMEOUT_SECONDS = 120.0
TOOLS = Path(__file__).parent.parent


def run(count: int, *, seed: int, scratch: Path) -> Outcome:
    """Meet each bomb, those that unpack unpack to `count` MB; `seed` is not used."""
    began = time.monotonic()
    figures: dict[str, float | int | str] = {"what the gzip bombs unpack to: MB": count}
    failures = []
    for name in BOMBS:
        met = meet(name, count, scratch / name.replace(" ", "-"))
        megabytes, told = float(met["megabytes"]), str(met["told"])
        figures[f"{name}: MB"] = round(megabytes, 2)
        figures[f"{name}: told"] = f"{told or 'sound'} in {met['seconds']:.2f} s"
        if megabytes >= MOST_MEGABYTES:
            failures.append(f"{name}: {megabytes:.1f} MB")
        if told != BOMBS[name].expected:
            failures.append(f"{name}: told {told}, expected {BOMBS[name].expected}")
    seconds = time.monotonic() - began
    return Outcome("bombs", PROMISE, len(BOMBS), tuple(failures), figures, seconds)


def meet(name: str, megabytes: int, folder: Path) -> dict[str, float | str]:
    """Return what a fresh process made of a bomb: megabytes, seconds and what it told."""
    folder.mkdir()
    command = [sys.executable, "-m", "faulting.bomb_meeting", name, str(megabytes), str(folder)]
    done = subprocess.run(
        command, cwd=TOOLS, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS
    )
    if done.returncode:
        last = (done.stderr.splitlines() or ["nothing"])[-1]
        return {"megabytes": 0.0, "seconds": 0.0, "told": f"{done.returncode}, {last}"}
    return dict(json.loads(done.stdout))
