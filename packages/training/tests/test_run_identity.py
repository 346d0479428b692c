"""What a run is: everything its result depends on, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tomolift import data
from tomolift.training import ComparisonConfig, Config, DataConfig, TrainingConfig
from tomolift.training._device import Compute
from tomolift.training._experiment import planned_runs
from tomolift.training._run import Experiment, Run
from tomolift.training._source import Source
from tomolift.training._split import make_split

MakeRun = Callable[..., Run]


@pytest.fixture
def make_run(cache: data.Cache, tmp_path: Path) -> MakeRun:
    def make(
        arm: str = "average",
        *,
        training: TrainingConfig | None = None,
        volumes: DataConfig | None = None,
        fraction: float = 1.0,
    ) -> Run:
        config = Config(
            name="test",
            data=volumes or DataConfig(depth=16),
            training=training or TrainingConfig(),
            comparison=ComparisonConfig(arms=(arm,), fractions=(fraction,)),
        )
        experiment = Experiment(
            config=config,
            cache=cache,
            split=make_split(cache.cases, folds=2),
            compute=Compute(torch.device("cpu"), "fp32"),
            source=Source(path=tmp_path / "w", sha256="0" * 64, origin="test", facts={}),
            task_dir=None,
            out=tmp_path,
        )
        (run,) = [run for run in planned_runs(experiment) if run.fold == 0]
        return run

    return make


def test_the_papers_runs_keep_the_identity_they_had_before_there_was_more(
    make_run: MakeRun, cache: data.Cache
) -> None:
    """The first published layout, written out: a key added since may not enter it."""
    run = make_run("random")
    contents = {
        case: [case, *cache[case].checksums, str(cache[case].statistics)] for case in cache.cases
    }
    split = run.experiment.split
    first_layout = {
        "version": [1, torch.__version__],
        "arm": [3, None, "nothing"],
        "seed": 0,
        "epochs": 30,
        "batch": 2,
        "adam": [1e-3, 0.9, 0.999, 1e-4],
        "norm_batches": 0,
        "compute": ["fp32", "cpu"],
        "input": ["minmax", 1.0],
        "classes": 3,
        "training": [contents[case] for case in split.training(0)],
        "evaluation": [contents[case] for case in split.evaluation(0)],
        "depth": ["zeros", 0],
    }
    text = json.dumps(first_layout, sort_keys=True)
    assert run.identity == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    "changed",
    [
        "average+replicate",
        "average+every-slice",
        "average+stride",
        "average+depth_kernel=1",
        "average+learning_rate=3e-4",
        "average+epochs_3d=3",
        "average+batch_3d=1",
        "average+recalibrated",
        "average+pretrained",
        "average+none",
        "average+class_weights=balanced",
        "average+dice=1",
        "average+schedule=cosine",
        "average+warmup_epochs=1",
        "average+augmentation=flips",
        "average+accumulate=2",
        "average+weight_average=0.9",
        "zero",
        "scaling",
        "random",
    ],
)
def test_every_other_row_is_another_run(make_run: MakeRun, changed: str) -> None:
    assert make_run(changed).identity != make_run("average").identity


def test_other_alphas_are_another_run_of_the_scaling_arm_alone(make_run: MakeRun) -> None:
    other = replace(TrainingConfig(), alphas_3=(0.3, 0.4, 0.3))
    assert make_run("scaling", training=other).identity != make_run("scaling").identity
    assert make_run("average", training=other).identity == make_run("average").identity


def test_a_rows_setting_and_the_profiles_same_setting_are_one_run(make_run: MakeRun) -> None:
    profile = replace(TrainingConfig(), depth_padding="replicate", sampling="stride")
    in_row = make_run("average+replicate+stride").identity
    # the row starts from the plain 2D arm, whose sampling is the profile's
    assert in_row != make_run("average", training=profile).identity
    profile = replace(TrainingConfig(), depth_padding="replicate")
    assert make_run("average+replicate").identity == make_run("average", training=profile).identity


def test_every_row_starts_from_the_plain_2d_run_of_its_fold_seed_and_fraction(
    make_run: MakeRun,
) -> None:
    run = make_run("average+learning_rate=3e-4", fraction=0.5)
    source = run.source
    assert source is not None
    assert (source.arm_name, source.fold, source.seed, source.fraction) == ("2d", 0, 0, 0.5)
    assert source.training == run.experiment.config.training
    assert source.identity == make_run("2d", fraction=0.5).identity
    assert source.training_cases == run.training_cases


def test_a_fraction_is_another_run_in_another_folder_on_the_same_evaluation_cases(
    make_run: MakeRun,
) -> None:
    whole, half = make_run(), make_run(fraction=0.5)
    assert half.identity != whole.identity
    assert half.folder.name.startswith("average-fold0-seed0-fraction0.5-")
    assert whole.folder.name == f"average-fold0-seed0-{whole.identity[:8]}"
    assert len(half.training_cases) == round(0.5 * len(whole.training_cases))
    assert set(half.training_cases) < set(whole.training_cases)
    assert not set(whole.training_cases) & set(whole.experiment.split.evaluation(0))


def test_an_intensity_is_fitted_to_the_training_cases_of_the_run_alone(
    make_run: MakeRun, cache: data.Cache
) -> None:
    run = make_run(volumes=DataConfig(depth=16, intensity="split:zscore"), fraction=0.5)
    expected = data.fit_intensity("split:zscore", cache, run.training_cases)
    assert run.intensity == expected
    assert run.intensity != data.fit_intensity("split:zscore", cache, cache.cases)
