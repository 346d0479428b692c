"""MLflow: a run of the experiment "tomolift" for every run, at the configured server."""

from __future__ import annotations

from collections.abc import Mapping

from .._optional import optional_module
from .._run import Run

_EXPERIMENT = "tomolift"
_IDENTITY = "tomolift.identity"


class MLflow:
    """Logs where MLFLOW_TRACKING_URI says; a resumed run goes on in its own.

    The client is used, not the module's active run: runs are several at a time.
    """

    def __init__(self) -> None:
        mlflow = optional_module("mlflow", extra="mlflow", purpose="--track mlflow")
        self._client = mlflow.MlflowClient()
        experiment = self._client.get_experiment_by_name(_EXPERIMENT)
        self._experiment_id = (
            experiment.experiment_id if experiment else self._client.create_experiment(_EXPERIMENT)
        )
        self._run_ids: dict[str, str] = {}

    def epoch(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        """One metric a figure, its step the epoch."""
        if run.identity not in self._run_ids:
            self._run_ids[run.identity] = self._open(run)
        for name, value in metrics.items():
            self._client.log_metric(self._run_ids[run.identity], _allowed(name), value, step=epoch)

    def close(self) -> None:
        """Say of every run that it is finished."""
        for run_id in self._run_ids.values():
            self._client.set_terminated(run_id)

    def _open(self, run: Run) -> str:
        found = self._client.search_runs(
            [self._experiment_id], filter_string=f"tags.`{_IDENTITY}` = '{run.identity}'"
        )
        if found:
            return str(found[0].info.run_id)
        created = self._client.create_run(
            self._experiment_id, run_name=run.name, tags={_IDENTITY: run.identity}
        )
        run_id = str(created.info.run_id)
        facts = {"arm": run.arm_name, "fold": run.fold, "seed": run.seed, "fraction": run.fraction}
        for key, value in {**facts, **vars(run.training)}.items():
            self._client.log_param(run_id, key, value)
        return run_id


def _allowed(name: str) -> str:
    """Class names come from a file: other characters than MLflow's become underscores."""
    return "".join(sign if sign.isalnum() or sign in "_-./ " else "_" for sign in name)
