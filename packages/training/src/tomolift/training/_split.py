"""The split: which cases train and which evaluate, decided once and written down."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._files import write_json
from .errors import ConfigError


@dataclass(frozen=True)
class Split:
    """Cases dealt into folds; fold k evaluates on part k and trains on the others.

    Attributes:
        parts: the cases of each part, disjoint, together all of them.
    """

    parts: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        cases = [case for part in self.parts for case in part]
        twice = sorted({case for case in cases if cases.count(case) > 1})
        if twice:
            raise ConfigError(f"split: case {twice[0]} stands in two parts; delete split.json")

    def evaluation(self, fold: int) -> tuple[str, ...]:
        """The cases fold `fold` is judged on, sorted."""
        return tuple(sorted(self.parts[fold]))

    def training(self, fold: int) -> tuple[str, ...]:
        """The cases fold `fold` trains on, sorted."""
        others = [part for index, part in enumerate(self.parts) if index != fold]
        return tuple(sorted(case for part in others for case in part))

    @property
    def digest(self) -> str:
        """Hex sha256 of the parts."""
        return hashlib.sha256(json.dumps(self.parts).encode()).hexdigest()


def choose_cases(cases: tuple[str, ...], count: int, *, seed: int = 0) -> tuple[str, ...]:
    """A seeded subset of `count` cases in sorted order; 0 takes all.

    Raises:
        ConfigError: more cases wanted than there are.
    """
    if count > len(cases):
        raise ConfigError(f"--cases {count}: the cache holds {len(cases)}; ask for fewer")
    if not count:
        return tuple(sorted(cases))
    return tuple(sorted(random.Random(f"cases {seed}").sample(sorted(cases), count)))


def make_split(cases: tuple[str, ...], *, folds: int = 5, seed: int = 0) -> Split:
    """Deal the shuffled cases round-robin into `folds` parts, a pure function of its arguments.

    Raises:
        ConfigError: fewer cases than folds.
    """
    if len(cases) < folds:
        raise ConfigError(
            f"{len(cases)} cases cannot make {folds} folds; add volumes or lower split_folds"
        )
    shuffled = sorted(cases)
    random.Random(f"split {seed}").shuffle(shuffled)
    return Split(tuple(tuple(shuffled[part::folds]) for part in range(folds)))


def nested_subset(
    cases: tuple[str, ...], fraction: float, *, fold: int, seed: int
) -> tuple[str, ...]:
    """The first `fraction` of a fold's training cases in an order drawn for fold and seed.

    A smaller fraction is a part of every larger one, and every arm of a fold and seed is given
    the same cases; another seed draws others, so that the spread over seeds is also that of the
    choice.

    Args:
        cases: the fold's training cases.
        fraction: above 0, at most 1; at least one case is taken.
        fold: which fold.
        seed: of the run.

    Returns:
        The chosen cases, sorted.
    """
    order = sorted(cases)
    random.Random(f"fraction {fold} {seed}").shuffle(order)
    return tuple(sorted(order[: max(1, round(fraction * len(order)))]))


def keep_split(path: Path, wanted: Split) -> Split:
    """Write the split on the first run; on later ones insist that it is still the same.

    Raises:
        ConfigError: the file holds another split or is damaged.
    """
    if not path.exists():
        write_json(path, {"sha256": wanted.digest, "parts": wanted.parts})
        return wanted
    try:
        stored: dict[str, Any] = json.loads(path.read_text("utf-8"))
        found = Split(tuple(tuple(part) for part in stored["parts"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: damaged split file ({error}); delete it") from error
    if found.digest != stored.get("sha256"):
        raise ConfigError(f"{path}: edited by hand (its hash differs); delete it")
    if found != wanted:
        raise ConfigError(
            f"{path}: made for other cases or folds than asked for; choose another --out"
        )
    return found
