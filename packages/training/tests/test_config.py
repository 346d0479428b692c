from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tomolift.training import ARMS, ConfigError, config_from_json, load_profile
from tomolift.training.cli._overrides import Overrides, resolve


@pytest.mark.parametrize("name", ["quick", "hippocampus", "paper"])
def test_every_profile_loads_and_survives_json(name: str) -> None:
    config = load_profile(name)
    assert config.name == name
    assert config_from_json(config.to_json(), origin="test") == config


def test_the_paper_profile_holds_the_papers_numbers() -> None:
    config = load_profile("paper")
    training = config.training
    assert (training.epochs_2d, training.epochs_3d) == (30, 30)
    assert (training.batch_2d, training.batch_3d) == (32, 2)
    assert (training.learning_rate, training.weight_decay) == (1e-3, 1e-4)
    assert (training.beta1, training.beta2) == (0.9, 0.999)
    assert (training.precision, training.depth_padding) == ("fp32", "zeros")
    assert (config.data.depth, config.data.short, config.data.zoom) == (70, "drop", 1.0)


def test_the_papers_five_rows_are_arms_with_the_papers_figures() -> None:
    figures = {name: arm.paper_mean_iou for name, arm in ARMS.items() if arm.paper_mean_iou}
    assert figures == {
        "2d": 0.3325,
        "random": 0.3329,
        "zero": 0.3565,
        "average": 0.3835,
        "scaling": 0.3689,
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[training]\nlerning_rate = 1", "lerning_rate"),
        ("[training]\nepochs_2d = 'ten'", "epochs_2d = 'ten'"),
        ("[training]\nprecision = 'fp64'", "training.precision = 'fp64'"),
        ("[training]\nepochs_3d = 0", "training.epochs_3d = 0"),
        ("[data]\nshort = 'stretch'", "data.short = 'stretch'"),
        ("[comparison]\narms = ['2d', 'best']", "'best'"),
        ("[comparison]\narms = ['2d', '2d']", "each arm once"),
        ("[comparison]\nfolds = 6", "comparison.folds = 6"),
        ("data = 3", "data = 3"),
        ("not toml", "not valid TOML"),
    ],
)
def test_a_bad_profile_is_refused_by_key_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_profile(str(path))
    assert words in str(caught.value)


def test_an_unknown_profile_and_a_missing_file_name_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="quick, hippocampus, paper"):
        load_profile("fast")
    with pytest.raises(ConfigError, match="check --profile"):
        load_profile(str(tmp_path / "absent.toml"))


def test_the_command_line_overrides_the_profile() -> None:
    config, task = resolve(
        Overrides(
            profile="hippocampus", data=Path("task"), weights="w.pth", epochs=3, cases=60, folds=2
        )
    )
    expected = load_profile("hippocampus")
    assert task == Path("task")
    assert config == replace(
        expected,
        weights=str(Path("w.pth").resolve()),
        data=replace(expected.data, cases=60, task="folder"),
        training=replace(expected.training, epochs_2d=3, epochs_3d=3),
        comparison=replace(expected.comparison, folds=2),
    )


def test_a_profile_that_needs_volumes_or_weights_says_so() -> None:
    with pytest.raises(ConfigError, match="--data is missing"):
        resolve(Overrides(profile="paper", weights="procedural"))
    with pytest.raises(ConfigError, match="--weights is missing"):
        resolve(Overrides(profile="paper", data=Path("task")))
