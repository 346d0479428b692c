"""Rows by name: what a name changes, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tomolift.inflation import PAPER_ALPHAS
from tomolift.training import ARMS, ComparisonConfig, ConfigError, TrainingConfig, load_profile
from tomolift.training._arm_text import arm_named
from tomolift.training._settings import WORDS, parse_setting, setting_text
from tomolift.training.cli._overrides import Overrides, resolve


@pytest.mark.parametrize("name", list(ARMS))
def test_an_arms_plain_name_is_the_arm_itself(name: str) -> None:
    assert arm_named(name) is ARMS[name]


def test_a_settings_row_trains_as_the_profile_says_but_for_that_setting() -> None:
    config = load_profile("paper").training
    row = arm_named("average+replicate+learning_rate=3e-4")
    assert row.training(config) == replace(config, depth_padding="replicate", learning_rate=3e-4)
    assert (row.strategy, row.starts_from) == ("average", "2d")


def test_a_row_says_all_that_it_does_differently() -> None:
    row = arm_named("scaling+alphas_3=0.2:0.6:0.2+stride")
    assert row.label == "3D, initialisation by scaling; alphas_3 0.2:0.6:0.2, sampling stride"
    assert row.paper_mean_iou is None


@pytest.mark.parametrize("word", list(WORDS))
def test_every_word_is_a_value_the_configuration_takes(word: str) -> None:
    key, value = parse_setting(word, where="--training")
    assert getattr(replace(TrainingConfig(), **{key: value}), key) == value


@pytest.mark.parametrize(
    ("key", "value"), [("ids", 3), ("rate", 3e-4), ("alphas", (0.2, 0.6, 0.2)), ("mode", "none")]
)
def test_a_settings_text_is_short(key: str, value: object) -> None:
    texts = {"ids": "3", "rate": "0.0003", "alphas": "0.2:0.6:0.2", "mode": "none"}
    assert setting_text(value) == texts[key]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("best", "expected one of 2d, 2d-continued"),
        ("average+better", "'better' is no setting"),
        ("average+learning_rate=fast", "learning_rate='fast': expected float"),
        ("average+replicate+zeros", "depth_padding is set already"),
        ("slicewise+every-slice", "depth_stride is set already"),
        ("2d+replicate", "depth_padding means nothing to arm 2d"),
        ("2d-continued+pretrained", "source means nothing to arm 2d-continued"),
        ("random+none", "source means nothing to arm random"),
        ("average+alphas_3=0.2:0.6:0.2", "alphas_3 means nothing to arm average"),
        ("average+precision=bf16", "precision means nothing"),
        ("average+epochs_2d=3", "epochs_2d means nothing"),
        ("average+learning_rate=0.0" + "0" * 120, "at most 120 characters"),
    ],
)
def test_a_name_that_stands_for_no_row_is_refused_in_one_line(name: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ComparisonConfig(arms=(name,))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("average+learning_rate=5", "training.learning_rate = 5"),
        ("scaling+alphas_3=0.2:0.5:0.2", "alphas_3 = 0.2:0.5:0.2: expected 3 positive"),
        ("scaling+alphas_7=0.5:0.5", "alphas_7 = 0.5:0.5: expected 7 positive"),
    ],
)
def test_a_rows_value_outside_its_range_is_refused(name: str, words: str) -> None:
    config = load_profile("quick")
    with pytest.raises(ConfigError, match=words):
        replace(config, comparison=ComparisonConfig(arms=(name,)))


def test_two_names_of_one_training_are_refused() -> None:
    config = load_profile("paper")
    with pytest.raises(ConfigError, match=r"'average\+zeros' is 'average' in this profile"):
        replace(config, comparison=ComparisonConfig(arms=("average", "average+zeros")))


@pytest.mark.parametrize(
    ("name", "source", "point"),
    [
        ("2d", "finetuned", "source"),
        ("2d", "pretrained", "source"),
        ("2d", "none", "nothing"),
        ("2d-continued", "pretrained", "2d"),
        ("random", "pretrained", "nothing"),
        ("average", "finetuned", "2d"),
        ("average", "pretrained", "source"),
        ("average", "none", "nothing"),
        ("average+pretrained", "finetuned", "source"),
        ("average+finetuned", "pretrained", "2d"),
    ],
)
def test_where_a_rows_weights_come_from(name: str, source: str, point: str) -> None:
    arm = arm_named(name)
    config = arm.training(replace(TrainingConfig(), source=source))  # type: ignore[arg-type]
    assert arm.starting_point(config) == point


@pytest.mark.parametrize(
    ("arms", "source", "needed"),
    [
        (("random",), "finetuned", False),
        (("average",), "finetuned", True),
        (("average",), "none", False),
        (("2d", "2d-continued"), "none", False),
        (("average+none",), "finetuned", False),
        (("average+pretrained",), "none", True),
    ],
)
def test_weights_are_asked_for_only_where_a_row_takes_them(
    arms: tuple[str, ...], source: str, needed: bool
) -> None:
    config = load_profile("paper")
    training = replace(config.training, source=source)  # type: ignore[arg-type]
    config = replace(config, training=training, comparison=ComparisonConfig(arms=arms))
    assert config.needs_weights == needed


def test_the_papers_alphas_are_those_of_the_scaling_strategy() -> None:
    assert TrainingConfig().alphas_3 == PAPER_ALPHAS[3]
    assert TrainingConfig().alphas_7 == PAPER_ALPHAS[7]


def test_the_command_line_takes_rows_fractions_and_settings() -> None:
    config, _ = resolve(
        Overrides(
            arms=("2d,random", "average+replicate"),
            fractions="0.25,1",
            training=("stride", "batch_3d=4"),
        )
    )
    assert config.comparison.arms == ("2d", "random", "average+replicate")
    assert config.comparison.fractions == (0.25, 1.0)
    assert (config.training.sampling, config.training.batch_3d) == ("stride", 4)


@pytest.mark.parametrize("given", ["0", "1.5", "0.5,0.5", "half", "-1", "nan", ""])
def test_fractions_outside_their_range_are_refused(given: str) -> None:
    if not given:
        with pytest.raises(ConfigError, match="fractions"):
            ComparisonConfig(fractions=())
        return
    with pytest.raises(ConfigError, match="fractions"):
        resolve(Overrides(fractions=given))


def test_a_profile_may_hold_fractions_and_alphas(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[training]\nalphas_3 = [0.3, 0.4, 0.3]\n[comparison]\nfractions = [0.5, 1]\n")
    config = load_profile(str(path))
    assert config.training.alphas_3 == (0.3, 0.4, 0.3)
    assert config.comparison.fractions == (0.5, 1.0)
