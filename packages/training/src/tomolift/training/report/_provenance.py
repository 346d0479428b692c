"""Where a report's figures come from, in enough detail to get them again."""

from __future__ import annotations

import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tomolift import ops

from .._run import Experiment

_PACKAGES = (
    "tomolift-training", "tomolift-ops", "tomolift-data", "tomolift-models", "tomolift-inflation",
    "torch", "numpy", "nibabel",
)  # fmt: skip


def provenance(experiment: Experiment) -> dict[str, Any]:
    """Configuration, versions, device, commit, cache, weights and seeds, as JSON values."""
    source = experiment.source
    cache, comparison = experiment.cache, experiment.config.comparison
    return {
        "command": " ".join(["tomolift", *sys.argv[1:]]),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": experiment.compute.describe(),
        "precision": experiment.compute.precision,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
        "commit": _commit(),
        "ops": ops.build_info(),
        "task": cache.task_name,
        "cache_fingerprint": cache.fingerprint,
        "cases": sorted(case for part in experiment.split.parts for case in part),
        "dropped": dict(cache.dropped),
        "failed": dict(cache.failed),
        "split_sha256": experiment.split.digest,
        "folds": list(range(comparison.folds)),
        "seeds": list(range(comparison.seeds)),
        "weights": source and {"origin": source.origin, "sha256": source.sha256, **source.facts},
        "config": experiment.config.to_json(),
    }


def _commit() -> str | None:
    """The checkout's commit, with "+" where files differ from it; None outside a checkout."""
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()
