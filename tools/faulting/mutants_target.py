"""What a parser under test is to the campaign: how to make a mutant and how to look at it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any


class InsaneError(Exception):
    """A parser accepted a mutant and returned what no sound input can mean."""


@dataclass(frozen=True)
class Trial:
    """A target that is ready to run.

    Attributes:
        make: a mutant from a generator, and from nothing else.
        look: shows it to the parser. Returns where it is accepted and its values are sane, a word
            where that is by a difference that has a name; raises ``BadInput`` where it is refused.
    """

    make: Callable[[Random], Any]
    look: Callable[[Any], str | None]


@dataclass(frozen=True)
class Target:
    """A parser under test.

    Attributes:
        name: also part of every mutant's seed.
        share: of the experiment's mutants.
        prepare: makes the seeds, and files of its own in the given empty folder.
    """

    name: str
    share: float
    prepare: Callable[[Path], Trial]


def generator(target: Target, seed: int, index: int) -> Random:
    """Return the generator of one mutant: a pure function of its three coordinates."""
    return Random(f"{seed}/{target.name}/{index}")


def require(condition: bool, claim: str) -> None:
    """Fail where an accepted value breaks ``claim``.

    Raises:
        InsaneError: it does.
    """
    if not condition:
        raise InsaneError(f"accepted, but not: {claim}")
