"""The search over alphas: what judges, what is kept, and how it goes on."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tomolift import data
from tomolift.training import ComparisonConfig, Config, ConfigError, DataConfig, NonFiniteLossError
from tomolift.training import _search as search_module
from tomolift.training._device import Compute
from tomolift.training._run import Experiment, Run
from tomolift.training._search import Trial, inner_experiment, search_alphas
from tomolift.training._source import Source
from tomolift.training._split import make_split


@pytest.fixture
def experiment(cache: data.Cache, tmp_path: Path) -> Experiment:
    return Experiment(
        config=Config(
            name="test",
            data=DataConfig(depth=16),
            comparison=ComparisonConfig(arms=("scaling",), split_folds=5, seeds=2),
        ),
        cache=cache,
        split=make_split(cache.cases, folds=5),
        compute=Compute(torch.device("cpu"), "fp32"),
        source=Source(path=tmp_path / "w", sha256="0" * 64, origin="test", facts={}),
        task_dir=None,
        out=tmp_path / "out",
    )


@pytest.fixture
def performed(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """Runs that would have been done; a run is the better the nearer its middle alpha is to 0.6."""
    runs: list[Run] = []

    def pretend(run: Run, *, on_epoch: Any) -> Any:
        runs.append(run)
        hits = 1000 - round(1000 * abs(run.training.alphas_3[1] - 0.6)) + run.seed
        matrix = torch.tensor([[hits, 1000 - hits + 1], [0, 1000]])
        return SimpleNamespace(matrices={"case": matrix})

    monkeypatch.setattr(search_module, "perform", pretend)
    return runs


def search(experiment: Experiment, trials: int) -> list[Trial]:
    return search_alphas(
        experiment, fold=0, trials=trials, on_epoch=lambda run, history: None, say=lambda line: None
    )


def test_evaluation_cases_are_neither_trained_on_nor_judged_on(experiment: Experiment) -> None:
    inner = inner_experiment(experiment, fold=0)
    seen = {*inner.split.training(0), *inner.split.evaluation(0)}
    assert seen == set(experiment.split.training(0))
    assert not seen & set(experiment.split.evaluation(0))
    assert not set(inner.split.training(0)) & set(inner.split.evaluation(0))


def test_too_few_training_cases_are_refused(experiment: Experiment) -> None:
    few = make_split(experiment.cache.cases[:3], folds=2)
    with pytest.raises(ConfigError, match="fold 0 has 1 training cases"):
        inner_experiment(replace(experiment, split=few), fold=0)


def test_without_optuna_the_extra_is_named(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"pip install 'tomolift-training\[search\]'"):
        search(experiment, 1)


class TestWithOptuna:
    @pytest.fixture(autouse=True)
    def _optuna(self) -> None:
        pytest.importorskip("optuna", reason="Optuna is not installed (extra `search`)")

    def test_the_papers_alphas_and_equal_ones_are_tried_first_with_every_seed(
        self, experiment: Experiment, performed: list[Run]
    ) -> None:
        search(experiment, 2)
        assert [run.seed for run in performed] == [0, 1, 0, 1]
        assert performed[0].training.alphas_3 == (0.25, 0.5, 0.25)
        assert performed[2].training.alphas_3 == pytest.approx((1 / 3,) * 3, abs=1e-3)

    def test_what_is_found_is_better_than_where_it_started(
        self, experiment: Experiment, performed: list[Run]
    ) -> None:
        ranked = search(experiment, 25)
        known = {trial.known_as: trial.mean_iou for trial in ranked if trial.known_as}
        assert set(known) == {"paper", "average"}
        assert ranked[0].mean_iou > max(known.values())
        assert abs(ranked[0].alphas.three[1] - 0.6) < 0.1
        values = [trial.mean_iou for trial in ranked]
        assert values == sorted(values, reverse=True)

    def test_a_search_goes_on_where_it_stopped(
        self, experiment: Experiment, performed: list[Run]
    ) -> None:
        search(experiment, 4)
        assert len(performed) == 2 * 4
        search(experiment, 6)
        assert len(performed) == 2 * 6
        search(experiment, 6)
        assert len(performed) == 2 * 6
        assert len({run.arm_name for run in performed}) == 6

    def test_a_trial_in_which_the_process_died_is_done_again_with_the_same_alphas(
        self, experiment: Experiment, performed: list[Run], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        search(experiment, 2)
        pretend, begun = search_module.perform, []

        def killed(run: Run, *, on_epoch: Any) -> Any:
            begun.append(run.arm_name)
            raise KeyboardInterrupt

        monkeypatch.setattr(search_module, "perform", killed)
        with pytest.raises(KeyboardInterrupt):
            search(experiment, 3)
        monkeypatch.setattr(search_module, "perform", pretend)
        search(experiment, 3)
        assert performed[4].arm_name == begun[0]

    def test_another_experiment_is_another_study(
        self, experiment: Experiment, performed: list[Run]
    ) -> None:
        search(experiment, 2)
        training = replace(experiment.config.training, learning_rate=2e-3)
        other = replace(experiment, config=replace(experiment.config, training=training))
        search(other, 2)
        assert len(performed) == 2 * 4

    def test_alphas_that_diverge_are_passed_over(
        self, experiment: Experiment, performed: list[Run], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pretend = search_module.perform

        def diverging(run: Run, *, on_epoch: Any) -> Any:
            if run.training.alphas_3 == (0.25, 0.5, 0.25):
                raise NonFiniteLossError("loss is nan")
            return pretend(run, on_epoch=on_epoch)

        monkeypatch.setattr(search_module, "perform", diverging)
        ranked = search(experiment, 3)
        assert len(ranked) == 2
        assert "paper" not in {trial.known_as for trial in ranked}

    def test_the_file_says_what_judged_and_how_to_confirm_the_choice(
        self, experiment: Experiment, performed: list[Run]
    ) -> None:
        ranked = search(experiment, 3)
        kept = json.loads((experiment.out / "search" / "search.json").read_text())
        assert [trial["arm"] for trial in kept["trials"]] == [each.alphas.arm for each in ranked]
        assert not set(kept["held_out"]) & set(experiment.split.evaluation(0))
        assert ranked[0].alphas.arm in kept["note"]
