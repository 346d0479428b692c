"""Where a report's figures come from, in enough detail to get them again."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tomolift import ops

from ._environment import environment
from ._result import RunResult
from ._run import Experiment


def provenance(experiment: Experiment, results: Sequence[RunResult]) -> dict[str, Any]:
    """Configuration, cache, weights, seeds, and what each run ran with, as JSON values."""
    source = experiment.source
    cache, comparison = experiment.cache, experiment.config.comparison
    return {
        "command": _command(),
        **environment(experiment.compute),
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
        "runs": [
            {
                "run": result.run.folder.name,
                "name": result.run.name,
                "identity": result.run.identity,
                "network_sha256": result.network_sha256,
                **result.environment,
            }
            for result in results
        ],
    }


def _command() -> str:
    """The process's command line as a shell would take it."""
    program = Path(sys.argv[0])
    name = "tomolift" if program.name in ("tomolift", "__main__.py") else program.name
    return shlex.join([name, *sys.argv[1:]])
