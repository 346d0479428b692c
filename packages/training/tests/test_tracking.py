"""Trackers: what they are told, and that a training does not die of one."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tomolift import data
from tomolift.training import ComparisonConfig, Config, ConfigError, DataConfig
from tomolift.training._device import Compute
from tomolift.training._run import Experiment, Run
from tomolift.training._split import make_split
from tomolift.training.tracking import Trackers, metrics_of, open_trackers

RECORD: dict[str, Any] = {
    "epoch": 3,
    "loss": 0.25,
    "mean_iou_pooled": 0.5,
    "mean_iou_per_case": 0.4,
    "iou": [0.9, 0.1, None],
    "dice": [0.95, 0.2, None],
    "predicted_share": [0.99, 0.01, 0.0],
    "learning_rate": 1e-3,
    "seconds": 2.0,
    "evaluation_seconds": 1.0,
    "steps": 4,
}


@pytest.fixture
def run(cache: data.Cache, tmp_path: Path) -> Run:
    experiment = Experiment(
        config=Config(
            name="t", data=DataConfig(depth=16), comparison=ComparisonConfig(arms=("random",))
        ),
        cache=cache,
        split=make_split(cache.cases, folds=5),
        compute=Compute(torch.device("cpu"), "fp32"),
        source=None,
        task_dir=None,
        out=tmp_path,
    )
    return Run(experiment=experiment, arm_name="random", fold=0, seed=0)


class Recorder:
    """A tracker that remembers, or fails from a call on."""

    def __init__(self, *, fails: bool = False) -> None:
        self.told: list[tuple[str, int, Mapping[str, float]]] = []
        self.closed = False
        self.fails = fails

    def epoch(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        if self.fails:
            raise ConnectionError("server\ngone")
        self.told.append((run.name, epoch, metrics))

    def close(self) -> None:
        self.closed = True


def test_a_record_becomes_named_numbers_without_what_is_excluded() -> None:
    metrics = metrics_of(RECORD, ("background", "pancreas", "tumour"))
    assert metrics["loss"] == 0.25
    assert metrics["iou/pancreas"] == 0.1
    assert metrics["predicted_share/tumour"] == 0.0
    assert "iou/tumour" not in metrics
    assert "steps" not in metrics


def test_the_record_before_training_has_no_loss() -> None:
    first = {key: value for key, value in RECORD.items() if key != "seconds"} | {"loss": None}
    assert not {"loss", "seconds"} & set(metrics_of(first, ("a", "b", "c")))


def test_every_tracker_is_told_the_last_record_and_closed(run: Run) -> None:
    one, other = Recorder(), Recorder()
    with Trackers({"one": one, "other": other}, print) as trackers:
        trackers.epoch(run, [{**RECORD, "epoch": 2}, RECORD])
    expected = ("random fold 0 seed 0", 3, metrics_of(RECORD, run.experiment.cache.label_names))
    assert one.told == other.told == [expected]
    assert one.closed
    assert other.closed


def test_a_failing_tracker_is_named_once_and_left_out(run: Run) -> None:
    said: list[str] = []
    good, bad = Recorder(), Recorder(fails=True)
    with Trackers({"bad": bad, "good": good}, said.append) as trackers:
        trackers.epoch(run, [RECORD])
        trackers.epoch(run, [RECORD])
    assert said == ["bad: server gone; it is told no more, metrics.jsonl goes on"]
    assert len(good.told) == 2


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_library_that_is_not_installed_is_named_before_anything_is_trained(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=rf"--track {name} needs .*tomolift-training\[{name}\]"):
        open_trackers([name], say=print)


def test_an_unknown_tracker_is_refused() -> None:
    with pytest.raises(ConfigError, match="--track paper: expected some of tensorboard"):
        open_trackers(["paper"], say=print)


class FakeMLflow:
    """The calls of mlflow.MlflowClient that are made, on lists."""

    def __init__(self) -> None:
        self.runs: list[Any] = []
        self.metrics: list[tuple[str, str, float, int]] = []
        self.params: dict[str, Any] = {}
        self.ended: list[str] = []

    def MlflowClient(self) -> FakeMLflow:
        return self

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id="7") if self.runs else None

    def create_experiment(self, name: str) -> str:
        return "7"

    def search_runs(self, experiments: list[str], *, filter_string: str) -> list[Any]:
        return [run for run in self.runs if run.tag in filter_string]

    def create_run(self, experiment: str, *, run_name: str, tags: dict[str, str]) -> Any:
        (tag,) = tags.values()
        self.runs.append(SimpleNamespace(info=SimpleNamespace(run_id=f"id{len(self.runs)}")))
        self.runs[-1].tag = tag
        return self.runs[-1]

    def log_metric(self, run_id: str, key: str, value: float, *, step: int) -> None:
        self.metrics.append((run_id, key, value, step))

    def log_param(self, run_id: str, key: str, value: Any) -> None:
        self.params[key] = value

    def set_terminated(self, run_id: str) -> None:
        self.ended.append(run_id)


def test_mlflow_gets_a_run_a_run_and_a_resumed_one_goes_on_in_its_own(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeMLflow()
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    for epoch in (3, 4):  # two processes
        with open_trackers(["mlflow"], say=print) as trackers:
            trackers.epoch(run, [{**RECORD, "epoch": epoch}])
    assert len(fake.runs) == 1
    assert [(key, step) for _, key, _, step in fake.metrics if key == "loss"] == [
        ("loss", 3), ("loss", 4),
    ]  # fmt: skip
    assert fake.params["arm"] == "random"
    assert fake.params["learning_rate"] == 1e-3
    assert fake.ended == ["id0", "id0"]


def test_wandb_gets_a_run_with_an_id_that_a_resumed_one_finds(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, Any]] = []
    opened = SimpleNamespace(
        log=lambda values, step: calls.append(("log", (values["loss"], step))),
        finish=lambda: calls.append(("finish", None)),
    )

    def init(**settings: Any) -> Any:
        calls.append(("init", settings))
        return opened

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    with open_trackers(["wandb"], say=print) as trackers:
        trackers.epoch(run, [RECORD])
        trackers.epoch(run, [{**RECORD, "epoch": 4}])
    assert [kind for kind, _ in calls] == ["init", "log", "log", "finish"]
    settings = calls[0][1]
    assert (settings["id"], settings["resume"]) == (run.identity[:16], "allow")
    json.dumps(settings["config"])
    assert calls[1][1] == (0.25, 3)


def test_tensorboard_reads_back_what_was_told(run: Run) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with open_trackers(["tensorboard"], say=pytest.fail) as trackers:
        trackers.epoch(run, [RECORD])
        trackers.epoch(run, [{**RECORD, "epoch": 4, "loss": 0.125}])
    events = EventAccumulator(str(run.folder / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [
        (3, 0.25),
        (4, 0.125),
    ]
    assert events.Scalars("iou/background")[0].value == pytest.approx(0.9)
