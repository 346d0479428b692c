"""What a finished run leaves in its folder, and how it is read back."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from ._environment import environment
from ._files import write_bytes, write_json, write_text
from ._metrics import case_rows
from ._run import Run
from .errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What a finished run leaves behind.

    Attributes:
        run: which one.
        history: one record an epoch, the first before any training.
        matrices: the last epoch's confusion matrix of each evaluation case, int64 on the CPU.
        environment: commit, versions, device and date of the run itself, not of its report.
        network_sha256: digest of network.safetensors.
    """

    run: Run
    history: list[dict[str, Any]]
    matrices: dict[str, Tensor]
    environment: dict[str, Any]
    network_sha256: str

    @property
    def seconds_per_epoch(self) -> float:
        """Mean training time of an epoch, evaluation not counted."""
        seconds = [record["seconds"] for record in self.history if "seconds" in record]
        return sum(seconds) / max(len(seconds), 1)


def write_result(
    run: Run, network: nn.Module, history: list[dict[str, Any]], matrices: dict[str, Tensor]
) -> RunResult:
    """Write network.safetensors, per_case.csv and, last, result.json, which says it is finished."""
    state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    weights = save_tensors(state)
    write_bytes(run.folder / "network.safetensors", weights)
    rows = case_rows(matrices, run.experiment.cache.label_names)
    write_text(run.folder / "per_case.csv", _csv(run, rows))
    result = RunResult(
        run=run,
        history=history,
        matrices=matrices,
        environment=environment(run.experiment.compute),
        network_sha256=hashlib.sha256(weights).hexdigest(),
    )
    write_json(
        run.folder / "result.json",
        {
            "identity": run.identity,
            "history": history,
            "matrices": {case: matrix.tolist() for case, matrix in matrices.items()},
            "environment": result.environment,
            "network_sha256": result.network_sha256,
        },
    )
    return result


def read_result(run: Run) -> RunResult | None:
    """A finished run's result, None where it is not finished.

    Raises:
        ConfigError: result.json is damaged or another run's.
    """
    path = run.folder / "result.json"
    if not path.exists():
        return None
    try:
        stored = json.loads(path.read_text("utf-8"))
        if stored["identity"] != run.identity:
            raise ValueError("it belongs to another run")
        matrices = {
            case: torch.tensor(rows, dtype=torch.int64) for case, rows in stored["matrices"].items()
        }
        return RunResult(
            run=run,
            history=list(stored["history"]),
            matrices=matrices,
            environment=dict(stored["environment"]),
            network_sha256=str(stored["network_sha256"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"{path}: damaged ({error}); delete its folder") from error


def final_weights(result: RunResult) -> dict[str, Tensor]:
    """The last epoch's state dict of a finished run, on the CPU.

    Raises:
        ConfigError: network.safetensors is missing or not the file that the run wrote.
    """
    path = result.run.folder / "network.safetensors"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; delete its folder") from error
    if hashlib.sha256(content).hexdigest() != result.network_sha256:
        raise ConfigError(f"{path}: changed since the run wrote it; delete its folder")
    return load_tensors(content)


def _csv(run: Run, rows: list[dict[str, Any]]) -> str:
    stream = io.StringIO()
    where = {"arm": run.arm_name, "fold": run.fold, "seed": run.seed, "fraction": run.fraction}
    writer = csv.DictWriter(stream, fieldnames=[*where, *rows[0]], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**where, **row} for row in rows)
    return stream.getvalue()
