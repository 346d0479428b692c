"""What something ran with: commit, versions, device, date."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ._device import Compute

_PACKAGES = (
    "tomolift-training", "tomolift-ops", "tomolift-data", "tomolift-models", "tomolift-inflation",
    "torch", "numpy", "nibabel",
)  # fmt: skip


def environment(compute: Compute) -> dict[str, Any]:
    """Commit, versions, device, precision and the present moment, as JSON values."""
    return {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": compute.describe(),
        "precision": compute.precision,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
        "commit": _commit(),
    }


def _commit() -> str | None:
    """The checkout's commit, with "+" where files differ from it; None outside a checkout."""
    here = Path(__file__)
    # Installed inside somebody else's repository, this file is not one of its files.
    if _git(here.parent, "ls-files", "--error-unmatch", here.name) is None:
        return None
    return _git(here.parent, "describe", "--always", "--dirty=+", "--abbrev=12")


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
