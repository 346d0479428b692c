"""A search over the scaling arm's alphas, which the paper leaves open."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ._alphas import HIGHEST, KNOWN, LOWEST, SHARES, Alphas, alphas_from_shares
from ._files import locked, write_json
from ._metrics import score
from ._optional import optional_module
from ._perform import OnEpoch, perform
from ._run import Experiment, Run
from ._split import make_split
from .errors import ConfigError, NonFiniteLossError

# One in four of the training cases judges; the evaluation cases are never looked at.
_HELD_OUT_PARTS = 4


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Alphas that were tried.

    Attributes:
        alphas: the taps.
        mean_iou: pooled mean IoU on the held-out training cases, mean over the seeds.
        known_as: "paper" or "average" where the paper tried them, else None.
    """

    alphas: Alphas
    mean_iou: float
    known_as: str | None

    def to_json(self) -> dict[str, Any]:
        """As search.json holds it."""
        return {
            "arm": self.alphas.arm,
            "alphas_3": self.alphas.three,
            "alphas_7": self.alphas.seven,
            "mean_iou_held_out": self.mean_iou,
            "known_as": self.known_as,
        }


def search_alphas(
    experiment: Experiment,
    *,
    fold: int,
    trials: int,
    on_epoch: OnEpoch,
    say: Callable[[str], None],
) -> list[Trial]:
    """Try alphas on a part of a fold's training cases; the other part judges.

    The paper's alphas and equal ones are tried first, then what Optuna's TPE sampler proposes.
    Trials are kept in OUT/search/alphas.sqlite3 and their runs beside it: a search that was
    stopped goes on where it was, an unfinished trial from its newest checkpoint.

    Args:
        experiment: the comparison; its seeds are run for every trial.
        fold: whose training cases are used.
        trials: how many finished trials there are to be in all.
        on_epoch: as in `perform`.
        say: receives one line a trial.

    Returns:
        The finished trials, best first.

    Raises:
        ConfigError: Optuna is not installed, or there are too few cases.
    """
    optuna = optional_module("optuna", extra="search", purpose="tomolift search")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    inner = inner_experiment(experiment, fold=fold)
    # One process at a time: what another leaves unfinished is taken over as a dead one's.
    with locked(inner.out / "lock"):
        study = _open_study(optuna, inner)
        while (done := _count(optuna, study)) < trials:
            say(f"trial {done + 1} of {trials}: {_try(optuna, study, inner, on_epoch)}")
        ranked = sorted(_finished(optuna, study), key=lambda trial: -trial.mean_iou)
        if not ranked:
            raise ConfigError(f"none of {trials} trials kept a finite loss; lower --learning-rate")
        _write(inner, ranked, fold)
    return ranked


def inner_experiment(experiment: Experiment, *, fold: int) -> Experiment:
    """The same experiment on a fold's training cases alone, dealt anew; its fold 0 is the search's.

    Raises:
        ConfigError: fewer training cases than parts.
    """
    training = experiment.split.training(fold)
    if len(training) < _HELD_OUT_PARTS:
        raise ConfigError(
            f"fold {fold} has {len(training)} training cases: a search holds out one in "
            f"{_HELD_OUT_PARTS}; add volumes"
        )
    split = make_split(training, folds=_HELD_OUT_PARTS, seed=fold)
    return replace(experiment, split=split, out=experiment.out / "search")


def _open_study(optuna: Any, inner: Experiment) -> Any:
    """The study of this experiment, in a file; another experiment is another study in it."""
    name = Run(experiment=inner, arm_name="scaling", fold=0, seed=0).identity
    study = optuna.create_study(
        storage=f"sqlite:///{(inner.out / 'alphas.sqlite3').resolve()}",
        study_name=f"{name[:16]}-{inner.config.comparison.seeds}-seeds",
        direction="maximize",
        load_if_exists=True,
    )
    # The sampler's state is not stored: what it has seen so far makes another seed.
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials))
    if not study.trials:
        for shares in KNOWN.values():
            study.enqueue_trial(shares)
    running = optuna.trial.TrialState.RUNNING
    for trial in study.get_trials(states=(running,)):  # a process died in it
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        study.enqueue_trial(trial.params)
    return study


def _try(optuna: Any, study: Any, inner: Experiment, on_epoch: OnEpoch) -> str:
    """Do one trial; returns what became of it."""
    trial = study.ask()
    shares = {name: trial.suggest_float(name, LOWEST, HIGHEST) for name in SHARES}
    alphas = alphas_from_shares(shares)
    try:
        mean_iou = _judge(inner, alphas, on_epoch)
    except NonFiniteLossError as error:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        return str(error)
    study.tell(trial, mean_iou)
    return f"{alphas.arm} {mean_iou:.4f}"


def _judge(inner: Experiment, alphas: Alphas, on_epoch: OnEpoch) -> float:
    """Pooled mean IoU of a row on the held-out cases, mean over the seeds."""
    scores = []
    for seed in range(inner.config.comparison.seeds):
        run = Run(experiment=inner, arm_name=alphas.arm, fold=0, seed=seed)
        result = perform(run, on_epoch=on_epoch)
        scores.append(score(list(result.matrices.values())).mean_iou_pooled)
    return math.fsum(scores) / len(scores)


def _count(optuna: Any, study: Any) -> int:
    """Trials that came to an end, diverged ones included."""
    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    return len(study.get_trials(states=states))


def _finished(optuna: Any, study: Any) -> list[Trial]:
    known = {alphas_from_shares(shares): name for name, shares in KNOWN.items()}
    trials = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    tried = [(alphas_from_shares(trial.params), trial.value) for trial in trials]
    return [
        Trial(alphas=alphas, mean_iou=value, known_as=known.get(alphas)) for alphas, value in tried
    ]


def _write(inner: Experiment, ranked: list[Trial], fold: int) -> None:
    arms = f"2d,random,scaling,{ranked[0].alphas.arm}"
    note = (
        "Chosen on cases held out of the training part: the best of many is flattered by its "
        "choice. What it is worth, the evaluation cases say: tomolift reproduce "
        f"{shlex.join(['--arms', arms])}"
    )
    write_json(
        inner.out / "search.json",
        {
            "fold": fold,
            "seeds": inner.config.comparison.seeds,
            "held_out": inner.split.evaluation(0),
            "note": note,
            "trials": [trial.to_json() for trial in ranked],
        },
    )
