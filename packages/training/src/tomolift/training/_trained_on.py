"""What a run learned from, as run.json keeps it: enough to predict without the cache."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._run import Run


def trained_on(run: Run) -> dict[str, Any]:
    """Classes, volumes and grid of a run's training, as JSON values.

    Returns:
        task, label_names (background first), depth (slices of a training volume), spacing_mm
        (median over the training cases, along depth, height, width), plane (median height and
        width), cases (how many), cache_fingerprint, split_sha256.
    """
    cache = run.experiment.cache
    infos = [cache[case] for case in run.training_cases]
    return {
        "task": cache.task_name,
        "label_names": list(cache.label_names),
        "depth": cache.depth,
        "spacing_mm": np.median([info.zooms_mm for info in infos], axis=0).round(6).tolist(),
        "plane": np.median([info.shape[1:] for info in infos], axis=0).tolist(),
        "cases": len(infos),
        "cache_fingerprint": cache.fingerprint,
        "split_sha256": run.experiment.split.digest,
    }
