"""From a configuration to an experiment: volumes, cache, split, weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tomolift import data

from ._config import Config, DataConfig
from ._device import choose_compute
from ._run import Experiment
from ._source import Source, obtain_source
from ._split import choose_cases, keep_split, make_split
from .errors import ConfigError


@dataclass(frozen=True)
class Prepared:
    """An experiment with what the report says about its ingredients."""

    experiment: Experiment
    source: Source


def prepare(
    config: Config, *, task_dir: Path | None, out: Path, say: Callable[[str], None]
) -> Prepared:
    """Build or reuse the cache, write or check the split, obtain the 2D weights.

    Args:
        config: the resolved configuration.
        task_dir: the MSD task folder; None for the phantom.
        out: the comparison's folder.
        say: receives one line of progress at a time.

    Raises:
        ConfigError, data.BadInput: what is wrong with which file or argument, and the cure.
    """
    compute = choose_compute(config.training.precision, threads=config.training.threads)
    say(f"device: {compute.describe()}, {compute.precision}")
    task = task_dir if config.data.task == "folder" else _phantom(config.data, out, say)
    if task is None:
        raise ConfigError("--data is missing: this profile needs an MSD task folder")
    # A weights file that is not there should not cost a cache build first.
    if config.weights not in ("procedural", "imagenet") and not Path(config.weights).is_file():
        obtain_source(config.weights, say=say)
    cache = _cache(config.data, task, out / "cache", say)
    cases = choose_cases(cache.cases, config.data.cases)
    split = keep_split(out / "split.json", make_split(cases, folds=config.comparison.split_folds))
    source = obtain_source(config.weights, say=say)
    say(f"2D source: {source.origin}")
    experiment = Experiment(
        config=config,
        cache=cache,
        split=split,
        compute=compute,
        weights=source.path,
        weights_sha256=source.sha256,
        task_dir=task_dir,
        out=out,
    )
    return Prepared(experiment, source)


def _phantom(config: DataConfig, out: Path, say: Callable[[str], None]) -> Path:
    """The synthetic task, written once for its number of cases."""
    folder = out / f"phantom-{config.phantom_cases}"
    if not (folder / "dataset.json").exists():
        say(f"writing a phantom of {config.phantom_cases} volumes to {folder}")
        data.write_phantom(folder, cases=config.phantom_cases, seed=0)
    return folder


def _cache(config: DataConfig, task: Path, folder: Path, say: Callable[[str], None]) -> data.Cache:
    report = data.build_cache(task, folder, depth=config.depth, short=config.short, workers=2)
    say(
        f"cache: {len(report.built)} volumes built, {len(report.reused)} reused, "
        f"{len(report.dropped)} dropped for fewer than {config.depth} slices, "
        f"{len(report.failed)} failed"
    )
    for case, reason in report.failed.items():
        say(f"  left out: {case}: {reason}")
    cache = data.open_cache(folder)
    if not cache.cases:
        raise ConfigError(f"{task}: no volume is left; lower --depth or use the policy pad")
    return cache
