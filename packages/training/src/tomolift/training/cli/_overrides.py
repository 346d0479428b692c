"""What the command line may change in a profile."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .._config import Config
from .._profile import load_profile
from .._settings import parse_setting
from .._training_config import DepthPadding, Precision, StartsFrom
from ..errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """Options of `reproduce` and `train`; what is left out stays as the profile says.

    Attributes:
        profile: quick (phantom), hippocampus (MSD Task04), paper (MSD Task07), or a .toml file.
        data: MSD task folder (dataset.json, imagesTr, labelsTr).
        weights: 2D source network: procedural, imagenet, or a checkpoint file.
        arms: rows of the table, such as --arms 2d,random,average,average+replicate: an arm of 2d,
            2d-continued, random, zero, average, scaling, triangular, negative, slicewise, and
            behind every + what that row does differently (zeros, replicate, every-slice, corners,
            stride, finetuned, pretrained, none, recalibrated, running, or KEY=VALUE).
        folds: how many of the folds to run.
        seeds: how many seeds to run.
        fractions: shares of the training cases to train on, such as --fractions 0.1,0.25,0.5,1.
        cases: a seeded subset of this many cases.
        skip_damaged: go on without damaged volumes instead of refusing to start.
        epochs: epochs of the 2D arm and of each 3D arm alike.
        learning_rate: Adam's.
        precision: auto, fp32 (the paper) or bf16.
        depth_padding: zeros (the paper) or replicate.
        source: what the 3D arms inflate: finetuned (the paper) or pretrained.
        threads: CPU threads.
        training: any other key of the profile's training section, such as --training batch_3d=4
            norm_batches=8; the words of --arms serve too.
        track: tell tensorboard, mlflow or wandb of every epoch besides metrics.jsonl.
    """

    profile: str = "quick"
    data: Path | None = None
    weights: str | None = None
    arms: tuple[str, ...] | None = None
    folds: int | None = None
    seeds: int | None = None
    fractions: str | None = None
    cases: int | None = None
    skip_damaged: bool = False
    epochs: int | None = None
    learning_rate: float | None = None
    precision: Precision | None = None
    depth_padding: DepthPadding | None = None
    source: StartsFrom | None = None
    threads: int | None = None
    training: tuple[str, ...] = ()
    track: tuple[str, ...] = ()


def resolve(overrides: Overrides) -> tuple[Config, Path | None]:
    """The profile with the overrides applied, and the task folder (None for the phantom).

    Raises:
        ConfigError: a value outside its range, or data or weights missing.
    """
    config = load_profile(overrides.profile)
    volumes = _given(
        cases=overrides.cases,
        skip_damaged=overrides.skip_damaged or None,
        task="folder" if overrides.data else None,
    )
    training = _given(
        epochs_2d=overrides.epochs,
        epochs_3d=overrides.epochs,
        learning_rate=overrides.learning_rate,
        precision=overrides.precision,
        depth_padding=overrides.depth_padding,
        source=overrides.source,
        threads=overrides.threads,
    )
    training |= dict(parse_setting(text, where="--training") for text in overrides.training)
    comparison = _given(
        arms=_words(overrides.arms),
        folds=overrides.folds,
        seeds=overrides.seeds,
        fractions=_fractions(overrides.fractions),
    )
    weights = overrides.weights or config.weights
    if weights not in ("", "procedural", "imagenet"):
        weights = str(Path(weights).resolve())  # a run is resumed from any folder
    name = config.name
    if overrides.data and config.data.task == "phantom":
        name = f"{name}-{overrides.data.resolve().name}"  # not into the phantom's folder
    config = replace(
        config,
        name=name,
        weights=weights,
        data=replace(config.data, **volumes),
        training=replace(config.training, **training),
        comparison=replace(config.comparison, **comparison),
    )
    if config.data.task == "phantom":
        return config, None
    if overrides.data is None:
        raise ConfigError(f"--data is missing: profile {config.name} needs an MSD task folder")
    if config.needs_weights and not config.weights:
        raise ConfigError("--weights is missing: give a checkpoint, procedural or imagenet")
    return config, overrides.data


def _words(given: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Words divided by commas, blanks or both."""
    return tuple(w for text in given for w in text.split(",") if w) if given else None


def _fractions(given: str | None) -> tuple[float, ...] | None:
    try:
        return tuple(float(word) for word in given.split(",")) if given else None
    except ValueError as error:
        raise ConfigError(
            f"--fractions {given}: expected numbers divided by commas, such as 0.1,0.5,1"
        ) from error


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
