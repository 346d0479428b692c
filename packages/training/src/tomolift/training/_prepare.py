"""From a configuration to an experiment: volumes, cache, split, weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tomolift import data

from ._config import Config, DataConfig
from ._device import choose_compute
from ._network import network_from_source
from ._run import Experiment
from ._source import check_weights, obtain_source
from ._split import choose_cases, keep_split, make_split
from .errors import ConfigError


def prepare(
    config: Config, *, task_dir: Path | None, out: Path, say: Callable[[str], None]
) -> Experiment:
    """Build or reuse the cache, write or check the split, obtain the 2D weights.

    Args:
        config: the resolved configuration.
        task_dir: the MSD task folder; None for the phantom.
        out: the comparison's folder.
        say: receives one line of progress at a time.

    Raises:
        ConfigError, data.BadInput: what is wrong with which file or argument, and the cure.
    """
    _check_intensity(config.data.intensity)
    compute = choose_compute(config.training.precision, threads=config.training.threads)
    say(f"device: {compute.describe()}, {compute.precision}")
    task = task_dir if config.data.task == "folder" else _phantom(config.data, out, say)
    if task is None:
        raise ConfigError("--data is missing: this profile needs an MSD task folder")
    if config.needs_weights:
        _check_weights_first(config)
    cache = _cache(config.data, task, out / "cache", say)
    cases = choose_cases(cache.cases, config.data.cases)
    split = keep_split(out / "split.json", make_split(cases, folds=config.comparison.split_folds))
    source = obtain_source(config.weights, say=say) if config.needs_weights else None
    say(f"2D source: {source.origin if source else 'none needed'}")
    return Experiment(
        config=config,
        cache=cache,
        split=split,
        compute=compute,
        source=source,
        task_dir=task_dir,
        out=out,
    )


def _check_intensity(text: str) -> None:
    """Refuse an unknown policy now rather than after a cache build."""
    prefix, _, form = text.partition(":")
    data.parse_intensity(form if prefix in ("split", "foreground") else text)


def _check_weights_first(config: Config) -> None:
    """Refuse a missing, damaged or foreign weights file before a cache is built in vain."""
    check_weights(config.weights)
    if Path(config.weights).is_file():
        network_from_source(Path(config.weights), num_classes=2, seed=0, config=config.training)


def _phantom(config: DataConfig, out: Path, say: Callable[[str], None]) -> Path:
    """The synthetic task, written once for its number of cases and its version."""
    folder = out / f"phantom-{config.phantom_cases}-v{data.PHANTOM_VERSION}"
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
        say(f"  damaged: {case}: {reason}")
    if report.failed and not config.skip_damaged:
        case, reason = next(iter(report.failed.items()))
        raise ConfigError(
            f"{len(report.failed)} damaged volumes, first {case}: {reason}; mend them, or pass "
            "--skip-damaged to go on without them"
        )
    return data.open_cache(folder)
